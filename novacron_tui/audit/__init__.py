"""The audit log: who did what, from where, with what result."""
