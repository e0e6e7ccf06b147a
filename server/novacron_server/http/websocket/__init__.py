"""The one WebSocket door: authentication, origin, limits, frames, close codes and backpressure of every socket."""
