"""The rules of the domain: pure functions that both sides ask."""
