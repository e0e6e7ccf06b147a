"""Sign-in: the screen, its forms, and the flow from the start to the VM list."""
