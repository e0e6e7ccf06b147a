"""The commands for scripts: the same endpoints as the console, without Textual."""
