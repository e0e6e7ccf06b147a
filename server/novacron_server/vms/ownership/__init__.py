"""Whose a VM or a volume is: handovers, adoptions and releases."""
