"""VMs: their display, actions and confirmations."""
