"""Counts of things in words."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """`1 volume`, `2,345 volumes`, `2 entries`. The plural of `noun` must end in s."""
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {noun[:-1]}ies" if noun.endswith("ry") else f"{count:,} {noun}s"
