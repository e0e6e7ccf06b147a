"""One connection to a server: the session, the event stream, and what it has delivered."""
