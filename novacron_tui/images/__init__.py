"""Images: sending a file to the server."""
