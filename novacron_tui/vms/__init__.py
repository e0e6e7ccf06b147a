"""VMs in the console: how they are drawn, what one can do to them, and what is asked before."""
