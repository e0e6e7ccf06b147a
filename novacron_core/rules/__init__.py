"""The rules of the domain: pure functions used by the server and the console."""
