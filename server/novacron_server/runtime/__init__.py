"""The server process: settings, wiring, start and stop, background tasks and scheduled jobs."""
