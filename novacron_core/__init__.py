"""The code shared by the server and the console: the wire contract, the rules of the domain, the client."""

__version__ = "0.1.0"
PROTOCOL = 2
"""Version of the event stream and the REST shapes. A client refuses a server with another version."""
