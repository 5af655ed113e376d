"""Processes of ours with one setting of theirs changed, for faults that would else take an hour."""
