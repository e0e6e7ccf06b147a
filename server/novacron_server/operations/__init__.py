"""Operations: accepted work, written down before it is promised, run, told, and settled after a crash."""
