"""Sparklines for table cells: two values per braille character, or one per ASCII character."""

from __future__ import annotations

from collections.abc import Sequence

_LEFT = (0x00, 0x40, 0x44, 0x46, 0x47)
_RIGHT = (0x00, 0x80, 0xA0, 0xB0, 0xB8)
"""The dots of the columns of a braille character, filled from below. Source: Unicode, Braille Patterns."""
_PLAIN = " .:|#"
_LEVELS = 4


def sparkline(values: Sequence[float | None], width: int, *, top: float = 100.0, plain: bool = False) -> str:
    """The newest of `values`, oldest on the left, in exactly `width` cells; full height is `top`.

    The smallest value still has a dot, so that it differs from an unknown one (None).
    """
    each = 1 if plain else 2
    levels = [_level(value, top) for value in list(values)[-width * each :]]
    levels = [0] * (width * each - len(levels)) + levels
    if plain:
        return "".join(_PLAIN[level] for level in levels)
    pairs = zip(levels[::2], levels[1::2], strict=True)
    return "".join(chr(0x2800 + _LEFT[left] + _RIGHT[right]) if left or right else " " for left, right in pairs)


def _level(value: float | None, top: float) -> int:
    if value is None:
        return 0
    return max(1, min(_LEVELS, round(value / top * _LEVELS))) if top > 0 else 1
