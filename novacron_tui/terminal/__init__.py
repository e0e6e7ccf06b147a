"""The layer between the terminal and Textual: keys, pastes, painting, safe text, glyphs and themes."""
