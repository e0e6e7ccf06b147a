"""The connection to a server: the session, the event stream, and the store of its data."""
