"""NovaCron's server: HTTP and WebSocket outside, PostgreSQL and libvirt inside."""
