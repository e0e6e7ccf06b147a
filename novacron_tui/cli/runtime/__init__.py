"""Shared by all commands: arguments, connecting, waiting for operations, output and exit codes."""
