"""Operations and events, drawn as one list."""
