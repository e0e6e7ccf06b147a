"""What needs an operator now: one list of everything that is wrong."""
