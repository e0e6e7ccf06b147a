"""What the contract's types refuse, in an operator's words instead of the decoder's."""

from __future__ import annotations

import re

from novacron_core.values.sizes import size_text

_BOUND = re.compile(r"Expected `int` (>=|<=) (\d+)")
_LENGTH = re.compile(r"Expected `str` of length <= (\d+)")


def explain(told: str) -> tuple[str, str]:
    """What msgspec says of a value as a sentence, and the field it says it of; a field that ends in `_bytes`, or has it
    before its unit, is a size. What is not known stays as it was said."""
    sentence, _, field = told.partition(" - at `$.")
    field = field.strip("`")
    if bound := _BOUND.fullmatch(sentence):
        number = int(bound[2])
        words = size_text(number) if "_bytes" in field else str(number)
        return f"it must be at {'least' if bound[1] == '>=' else 'most'} {words}", field
    if length := _LENGTH.fullmatch(sentence):
        return f"it has at most {length[1]} characters", field
    if sentence.startswith("Invalid enum value "):
        return f"there is no {sentence.removeprefix('Invalid enum value ')}", field
    return sentence, field
