"""The connection to one libvirt host: opening, monitoring and reopening it, and the threads that make calls on it."""
