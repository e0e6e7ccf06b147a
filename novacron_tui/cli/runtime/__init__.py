"""What all commands share: arguments, connecting, waiting for operations, output and exit codes."""
