"""Images: uploading a file to the server."""
