"""The rules, pure: no clock, no I/O, no environment. Time and ids are arguments."""
