"""Sentences for the operator about values that a request does not allow."""

from __future__ import annotations

import re
from functools import cache

import msgspec
from msgspec import inspect

from novacron_core.values.counts import counted
from novacron_core.values.sizes import MIB, has_unit, parse_size, size_text

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
        return f"must have at most {counted(int(length[1]), 'character')}", field
    if sentence.startswith("Invalid enum value "):
        return f"unknown value {sentence.removeprefix('Invalid enum value ')}", field
    return sentence, field


def parse_size_for(request: type[msgspec.Struct], field: str, text: str) -> int:
    """The size in bytes that a text stands for, within the bounds of a field of a request. Raises ValueError with a
    sentence that says what was understood."""
    size = parse_size(text)
    least, most = _bounds(request, field)
    if least is not None and size < least:
        advice = (
            "" if has_unit(text) or not size else f". Add a unit, such as {text.strip()}{_likely_unit(size, least)}"
        )
        raise ValueError(f"{size_text(size)} is less than the minimum of {size_text(least)}{advice}")
    if most is not None and size > most:
        raise ValueError(f"{size_text(size)} is more than the maximum of {size_text(most)}")
    return size


def _likely_unit(number: int, least: int) -> str:
    """The unit that was most likely meant: nobody gives a VM 512 GiB by default, nor a volume 5 MiB."""
    return "M" if number >= _MANY and number * MIB >= least else "G"


_MANY = 100


@cache
def _bounds(request: type[msgspec.Struct], field: str) -> tuple[int | None, int | None]:
    """The least and the greatest value of a field of integers, which may be optional. Raises KeyError."""
    info = inspect.type_info(request)
    assert isinstance(info, inspect.StructType)
    kind = {each.name: each.type for each in info.fields}[field]
    kinds = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    number = next(each for each in kinds if isinstance(each, inspect.IntType))
    return number.ge, number.le
