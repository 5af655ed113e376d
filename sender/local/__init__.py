"""Everything one machine needs to run the whole system: embedded servers and child processes.

For `sender up`, `sender demo` and the tests. In production the servers are given by URL and the
processes belong to an init system; nothing in here is used then.
"""
