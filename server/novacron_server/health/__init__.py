"""Health checks and server information."""
