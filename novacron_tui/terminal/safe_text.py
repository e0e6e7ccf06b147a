"""Makes external strings safe for a terminal. JSON text is cleaned once, in the client, before it is decoded.

A terminal executes control characters, and bidirectional or invisible characters can make a name look like another one.
They are replaced by a visible mark, both raw and as `\\u` escapes in JSON.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

MARK = "·"
"""Replaces a character that must not reach the terminal."""
BROKEN = "\ufffd"
"""Replaces half a surrogate pair, which is not a character."""

_KEPT = "\n\t"
_INVISIBLE = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
"""Invisible letters and symbols (category Lo, Mn or So), used to forge look-alike names."""
_RAW = re.compile(
    "[\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\u2800\u3164\ud800-\udfff\ufeff\uffa0\ufff0-\ufffb\U000110bd\U000110cd"
    "\U00013430-\U0001345f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_PAIR = r"u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_ESCAPE = re.compile(rf"\\(?:({_PAIR})|u([0-9a-fA-F]{{4}})|([bfr])|.)", re.DOTALL)


@lru_cache(maxsize=4096)
def harmful(char: str) -> bool:
    """Whether a character must not reach a terminal: controls except newline and tab, formats, surrogates,
    invisibles."""
    if char in _KEPT:
        return False
    return char in _INVISIBLE or unicodedata.category(char) in _CATEGORIES or bool(_RAW.match(char))


_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def clean_json(text: str) -> str:
    """JSON text with every harmful character in its strings replaced. Valid JSON stays valid.

    Raw controls below U+0020 are kept: JSON allows them only between values, and the decoder refuses them elsewhere.
    """
    if not text.isascii() or "\x7f" in text:
        text = _RAW.sub(_mark, text)
    if "\\" in text:
        text = _ESCAPE.sub(_escape, text)
    return text


def clean(text: str) -> str:
    """A safe version of a string that does not come from JSON: the text of an exception may quote anything."""
    return "".join(_mark_char(c) if harmful(c) else c for c in text)


def one_line(text: str) -> str:
    """A safe version of a text, with newlines and tabs replaced by spaces."""
    if text.isascii() and text.isprintable():
        return text
    return clean(text).replace("\n", " ").replace("\t", " ")


def _mark_char(char: str) -> str:
    return BROKEN if "\ud800" <= char <= "\udfff" else MARK


def _mark(match: re.Match[str]) -> str:
    return _mark_char(match[0])


def _escape(match: re.Match[str]) -> str:
    pair, unit, control = match.groups()
    if pair:
        high, low = int(pair[1:5], 16), int(pair[7:11], 16)
        char = chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
    elif unit:
        char = chr(int(unit, 16))
    elif control:
        return MARK
    else:
        return match[0]
    return _mark_char(char) if harmful(char) else match[0]
