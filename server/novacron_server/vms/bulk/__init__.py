"""Bulks: one action on many VMs as one operation, with an operation on each VM."""
