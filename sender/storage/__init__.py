"""Postgres: the queue of record. One file for each aggregate; SQL is written out.

Every function takes an open transaction and commits nothing: the use case that calls it owns the
transaction. Updates of several messages lock them in the order of their ids, so that a guard, a
settlement and a STOP that meet wait for each other and cannot deadlock.
"""
