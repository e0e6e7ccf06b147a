"""Display of metrics."""
