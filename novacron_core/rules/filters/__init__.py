"""The filter language, and what it can ask of each noun."""
