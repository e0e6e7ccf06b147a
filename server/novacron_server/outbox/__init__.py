"""The transactional outbox: a transaction writes its events to it, and a reader delivers each event in order."""
