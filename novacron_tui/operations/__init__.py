"""Operations and events as one list."""
