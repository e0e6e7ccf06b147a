"""What the operations on pools do."""
