"""Values as exact as they mean something."""

from __future__ import annotations


def significant(value: float, digits: int = 3) -> float:
    """The value with so many significant digits."""
    return float(f"{value:.{digits}g}")
