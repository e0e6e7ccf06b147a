"""Is the server well, and what is it."""
