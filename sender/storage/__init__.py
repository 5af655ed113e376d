"""Postgres: the queue of record. One file for each aggregate; SQL is written out.

Every function takes an open transaction and commits nothing: the use case that calls it owns the
transaction. Updates of several messages lock them in the order of their ids, so that a guard, a
settlement and a STOP that meet wait for each other and cannot deadlock: by an ``ORDER BY`` where
they look at the rows first, else because Postgres takes them from the index of their ids. In a
table so small that it takes them as they lie, two may meet after all; then one of them runs again.
"""
