"""Operations: accepted work. Committed before it is acknowledged, reported while it runs, recovered after a crash."""
