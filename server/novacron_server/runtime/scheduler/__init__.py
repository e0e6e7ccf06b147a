"""Scheduled jobs. They are rows in the database, so that a missed run is known after a restart."""
