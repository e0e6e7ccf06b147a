"""Who is there: accounts, passwords, sessions and their tokens, and the one-time token of the first account."""
