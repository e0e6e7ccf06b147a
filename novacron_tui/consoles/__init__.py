"""Serial consoles: the terminal emulator, the keys it sends, and the widget that shows it."""
