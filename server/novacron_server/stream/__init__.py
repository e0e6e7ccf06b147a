"""The event stream: folds the outbox into the picture and hands each listener what it may see."""
