"""Formatting and parsing of sizes and rates. All units are binary: 1 KiB is 1024 bytes."""

from __future__ import annotations

import re

KIB = 1024

MIB = 1024**2

GIB = 1024**3

TIB = 1024**4

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")

_SIZE = re.compile(r"\s*([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*([kmgtpe]?)(i?b)?\s*", re.IGNORECASE)

MAX_BYTES = 2**63 - 1


def size_text(size_bytes: float | None, digits: int = 1) -> str:
    """`1536` as `1.5 KiB`. None (unknown) gives a dash, which is not zero."""
    if size_bytes is None:
        return "–"
    value = float(size_bytes)
    for unit in _UNITS:
        if abs(value) < 1024 or unit == _UNITS[-1]:
            break
        value /= 1024
    text = f"{value:.{digits}f}".removesuffix("." + "0" * digits) if unit != "B" else f"{value:.0f}"
    return f"{text} {unit}"


def short_size(size_bytes: float | None) -> str:
    """A size in at most four cells for a table: `340`, `1.2K`, `45M`, `16G`. None (unknown) gives a dash."""
    if size_bytes is None:
        return "–"
    value = float(size_bytes)
    for letter in ("", "K", "M", "G", "T", "P"):
        if value < 999.5 or letter == "P":
            break
        value /= 1024
    return f"{value:.1f}{letter}" if letter and value < 9.95 else f"{value:.0f}{letter}"


def rate_text(bytes_s: float | None) -> str:
    """Bytes per second, short: `1.2M/s`. None (unknown) gives a dash."""
    return "–" if bytes_s is None else f"{short_size(bytes_s)}/s"


def has_unit(text: str) -> bool:
    """Whether the text of a size names a unit."""
    match = _SIZE.fullmatch(text)
    return match is not None and bool(match[2] or match[3])


def parse_size(text: str) -> int:
    """`"1.5G"`, `"512 MiB"`, `"1024"` in bytes.

    Raises ValueError with a sentence for the operator when the text is not a size or does not fit in 63 bits.
    """
    match = _SIZE.fullmatch(text)
    if not match:
        raise ValueError("Enter a size as a number and a unit, e.g. 512M or 10GiB")
    exponent = "bkmgtpe".index(match[2].lower() or "b")
    size = int(float(match[1]) * 1024**exponent)
    if size > MAX_BYTES:
        raise ValueError("This size is too large")
    return size
