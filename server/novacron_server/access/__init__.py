"""Authentication: accounts, passwords, sessions and their tokens, and the one-time setup token of the first account."""
