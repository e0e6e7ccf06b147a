"""The event stream: folds the outbox into the inventory state and sends each listener the events it may see."""
