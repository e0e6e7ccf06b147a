"""What is done and what happens: operations and events, as one list."""
