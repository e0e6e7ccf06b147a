"""Texts compared."""

from __future__ import annotations

from itertools import takewhile


def shared_beginning(one: str, other: str) -> str:
    """The letters with which both begin."""
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return "".join(letter for letter, _ in alike)
