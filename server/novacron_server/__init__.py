"""NovaCron's server: serves HTTP and WebSocket, and uses PostgreSQL and libvirt."""
