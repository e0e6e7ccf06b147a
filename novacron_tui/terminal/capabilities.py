"""What the terminal can show, by the environment and the locale, and how text is drawn where it can show ASCII only."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TextIO

from novacron_tui.terminal.safe_text import MARK

_UTF_8 = "utf-8"
_LOCALE = ("LC_ALL", "LC_CTYPE", "LANG")
"""The variables of the locale's encoding, the first one that is set decides. Source: POSIX, 8.2."""
_CANNOT_DRAW = frozenset({"", "dumb", "unknown", "vt05", "vt50", "vt50h", "vt52"})
"""Values of TERM without cursor movement, or with sequences that are not those of ECMA-48. Source: terminfo."""
_WITHOUT_UNICODE = re.compile(r"(ansi|cons25|linux|pcansi|sun|vt\d+|wy\d+)\b.*")
"""Values of TERM of terminals that have no characters beyond their own set, or, as the Linux console, few."""
_WITHOUT_COLOR = re.compile(r"vt\d+\b.*|.*-(m|mono)")
_SAMPLE = "\x1b[?25h;Az..09"
_TRUE = frozenset({"1", "true", "yes", "on", "t", "y"})

_DRAWN = {
    "─━═╌╍┄┅┈┉╴╶╸╺╼╾–—−▔▁‾▀▂": "-",
    "│┃║╎╏┆┇┊┋╵╷╹╻▏▎▍▌▐▕‖": "|",
    "┌┐└┘├┤┬┴┼╭╮╰╯┏┓┗┛┣┫┳┻╋╔╗╚╝╠╣╦╩╬╒╓╕╖╘╙╛╜╞╟╡╢╤╥╧╨╪╫": "+",
    "█▉▊▋▇▆▅▄▃■▓▒": "#",
    "░□": ".",
    "●◉◆✓⁕": "*",
    "○◌◔◐◑◕◇": "o",
    "▲▴↑": "^",
    "▼▾↓": "v",
    "▶▸►→›»": ">",
    "◀◂◄←‹«": "<",
    "×✗✕": "x",
    "…": "~",
    f"{MARK}•": ".",
    "‘’": "'",
    "“”": '"',
}
_ASCII = {ord(glyph): plain for glyphs, plain in _DRAWN.items() for glyph in glyphs}
_ASCII |= {code: "." if code == 0x2800 else "*" for code in range(0x2800, 0x2900)}  # braille, of which charts are made


def why_not_drawable(environment: Mapping[str, str] = os.environ) -> str | None:
    """The sentence that says why no console can be drawn on this terminal, and what to do; None when one can."""
    kind = environment.get("TERM", "")
    if kind not in _CANNOT_DRAW:
        return None
    which = f"TERM={kind}" if kind else "TERM is not set"
    return (
        f"the console cannot be drawn on this terminal ({which}): set TERM to what the terminal is, like "
        "TERM=xterm-256color, or use the commands that `novacron --help` lists"
    )


def lacks_color(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the terminal has no colours."""
    return not environment.get("COLORTERM") and _WITHOUT_COLOR.fullmatch(environment.get("TERM", "")) is not None


def encoding_of(file: TextIO | None, environment: Mapping[str, str] = os.environ) -> str:
    """The name of the encoding that the terminal behind `file` expects.

    The locale's own name for it comes first: where Python does not know the locale it uses UTF-8 instead. The locales C
    and POSIX name none, and most terminals that are used with them do understand UTF-8. What was told to Python itself
    overrules the locale.
    """
    locale = next((value for name in _LOCALE if (value := environment.get(name))), "")
    is_told = environment.get("PYTHONUTF8") == "1" or bool(environment.get("PYTHONIOENCODING"))
    codeset = "" if is_told else locale.partition("@")[0].partition(".")[2]
    for name in (codeset, getattr(file, "encoding", None) or ""):
        found = _usable(name) if name else _UTF_8
        if found not in ("", _UTF_8):
            return found
    return _UTF_8


def _usable(name: str) -> str:
    """Python's name of an encoding; empty for one that it does not know, that is for no text, or that writes ASCII
    otherwise, as no terminal does."""
    try:
        return codecs.lookup(name).name if _SAMPLE.encode(name) == _SAMPLE.encode("ascii") else ""
    except (LookupError, ValueError):  # a ValueError is of a name with bytes that are no text
        return ""


def is_bare(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether TERM names a terminal with its own set of characters and no window, such as the Linux console."""
    return _WITHOUT_UNICODE.fullmatch(environment.get("TERM", "")) is not None


def needs_ascii(file: TextIO | None, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether to draw on `file` with ASCII characters only: its encoding has no others, or its terminal cannot show
    them, or NOVACRON_ASCII says so."""
    if chosen := environment.get("NOVACRON_ASCII", ""):
        return chosen.lower() in _TRUE
    if encoding_of(file, environment) != _UTF_8:
        return True
    is_terminal = file is not None and file.isatty()
    return is_terminal and is_bare(environment)


def in_ascii(text: str, encoding: str = _UTF_8) -> str:
    """The text with ASCII instead of what lines, bars and symbols are drawn with. Letters stay; those that `encoding`
    lacks become question marks, one for each cell."""
    if text.isascii():
        return text
    text = text.translate(_ASCII)
    if encoding == _UTF_8 or text.isascii():
        return text
    return "".join(char if char.isascii() or _encodable(char, encoding) else "?" * _cells(char) for char in text)


@lru_cache(maxsize=4096)
def _encodable(char: str, encoding: str) -> bool:
    try:
        char.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _cells(char: str) -> int:
    from rich.cells import cell_len  # not before the first paint

    return cell_len(char)
