"""The keys that end typing into a guest: `ctrl+]`, or what NOVACRON_DETACH_KEY says, and F12."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

SETTING = "NOVACRON_DETACH_KEY"
_CONTROL = re.compile(r"(?:ctrl[+-]|\^)([a-z\[\]\\^_])")
_NAMES = {"]": "right_square_bracket", "[": "left_square_bracket", "\\": "backslash", "^": "circumflex_accent", "_": "underscore"}  # fmt: skip
_TAKEN = "cijm["
"""Ctrl+C is for the guest; the others are tab, enter and escape to every terminal."""


class DetachKey(NamedTuple):
    """`label` is what people read, `name` is Textual's, `byte` what a terminal sends."""

    label: str
    name: str
    byte: bytes


def detach_key(text: str | None = None) -> DetachKey:
    """The key in `text`, else in the environment, else `ctrl+]`. Raises ValueError for what is no such key."""
    text = text if text is not None else os.environ.get(SETTING, "")
    found = _CONTROL.fullmatch(text.strip().lower() or "ctrl+]")
    if found is None or found[1] in _TAKEN:
        raise ValueError(
            f"{text!r} is no key to detach with: use ctrl and a letter or ]\\^_, like ctrl+], but not C, I, J or M"
        )
    key = found[1]
    return DetachKey(f"ctrl+{key}", f"ctrl+{_NAMES.get(key, key)}", bytes([ord(key.upper()) & 0x1F]))
