"""The filter language, and the fields of each noun."""
