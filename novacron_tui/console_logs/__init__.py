"""What VMs have printed on their serial consoles: read, viewed, and the last lines of those that are off."""
