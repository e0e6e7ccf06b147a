"""Counters of hosts and running domains."""
