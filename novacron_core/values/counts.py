"""Counts of things in words."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """`1 volume`, `2,345 volumes`. The plural of `noun` must end in s."""
    return f"{count:,} {noun}{'s' * (count != 1)}"
