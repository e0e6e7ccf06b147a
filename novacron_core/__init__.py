"""What both sides of NovaCron agree on: the wire contract, the rules of the domain, the client."""

__version__ = "0.1.0"
PROTOCOL = 2
"""Version of the event stream and REST shapes; a client and a server that differ in it do not talk."""
