"""The PostgreSQL that comes with NovaCron: found, created, started, watched and stopped."""
