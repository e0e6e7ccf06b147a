"""The procedures of operations on VMs, one module per kind; the power actions share one."""
