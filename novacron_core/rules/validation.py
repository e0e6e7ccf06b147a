"""Translates the decoder's validation errors into sentences for the operator."""

from __future__ import annotations

import re

from novacron_core.values.sizes import size_text

_BOUND = re.compile(r"Expected `int` (>=|<=) (\d+)")
_LENGTH = re.compile(r"Expected `str` of length <= (\d+)")


def explain(message: str) -> tuple[str, str]:
    """A msgspec validation message as a sentence, and the field that it is about. A field with `_bytes` in its name is
    a size. An unknown message is returned unchanged."""
    sentence, _, field = message.partition(" - at `$.")
    field = field.strip("`")
    if bound := _BOUND.fullmatch(sentence):
        number = int(bound[2])
        words = size_text(number) if "_bytes" in field else str(number)
        return f"must be at {'least' if bound[1] == '>=' else 'most'} {words}", field
    if length := _LENGTH.fullmatch(sentence):
        return f"must have at most {length[1]} characters", field
    if sentence.startswith("Invalid enum value "):
        return f"unknown value {sentence.removeprefix('Invalid enum value ')}", field
    return sentence, field
