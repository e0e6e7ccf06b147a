"""Generic Textual widgets, independent of NovaCron."""
