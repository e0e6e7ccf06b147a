"""The HTTP layer: routes from endpoints, problem documents from errors, headers and rate limits on every response."""
