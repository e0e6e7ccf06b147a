"""The connection to one libvirt host: opened, watched, reopened, and the threads that make calls over it."""
