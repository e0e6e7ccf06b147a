"""The WebSocket gateway: authentication, origin, limits, frames, close codes and backpressure of every socket."""
