"""Images: what a new VM's first disk is copied from."""
