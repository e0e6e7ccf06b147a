"""The commands for scripts: they use the same endpoints as the console, without Textual."""
