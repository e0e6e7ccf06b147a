"""What pasted text sends to a guest."""

from __future__ import annotations

import re
from collections.abc import Iterator

PIECE_BYTES = 4096
_START, _END = "\x1b[200~", "\x1b[201~"
_MARKS = re.compile(r"(?:\x1b\[|\x9b)20[01]~")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""All but tab and newline: a pasted ESC would be a key, or end the brackets."""


def has_more_lines(text: str) -> bool:
    """Whether a text is more than one line; a line end after it does not count."""
    return len(text.splitlines()) > 1


def pieces_of(text: str, *, bracketed: bool) -> Iterator[bytes]:
    """The bytes that paste a text, in pieces; lines end with CR, as the enter key sends it."""
    text = _CONTROLS.sub("", _MARKS.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))).replace("\n", "\r")
    data = (f"{_START}{text}{_END}" if bracketed else text).encode("utf-8", errors="ignore")
    for at in range(0, len(data), PIECE_BYTES):
        yield data[at : at + PIECE_BYTES]
