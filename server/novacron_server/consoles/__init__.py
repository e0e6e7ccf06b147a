"""The serial consoles of VMs: one stream per VM, followed by any number of clients, one of whom types."""
