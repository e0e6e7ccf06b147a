"""The embedded PostgreSQL: finds its programs, creates its cluster, and starts, supervises and stops the server."""
