"""Tests: unit (no I/O), integration (real servers), acceptance and faults (real processes)."""
