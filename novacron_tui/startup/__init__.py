"""Startup, from the command line to the first paint. Imports are delayed here, so that the screen appears sooner."""
