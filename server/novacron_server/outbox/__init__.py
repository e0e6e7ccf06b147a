"""What happened, in order: the outbox that a transaction writes to, and the reader that misses nothing."""
