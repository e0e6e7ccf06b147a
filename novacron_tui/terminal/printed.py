"""Makes what a guest has printed on its serial line harmless, and readable as lines.

A terminal would execute escape sequences (ECMA-48), and firmware draws with them. They are removed; what moves the cursor
to another line begins a new one. After a bare carriage return the text before it is overwritten, as a progress bar does.
"""

from __future__ import annotations

import re

from novacron_tui.terminal.safe_text import clean

MAX_LINE = 2000
"""Characters in a line; a longer one is broken there: a guest may print no line end at all."""
_MAX_HELD = 4 * MAX_LINE
_CSI = r"(?:(?<=\x9b)|(?<=\x1b)\[)"
_NEW_LINE = re.compile(
    rf"[\x1b\x9b\x85\x0b\x0c](?:(?<=[\x85\x0b\x0c])|(?<=\x1b)[cDEM]|{_CSI}[0-9;?]{{0,24}}(?:[ABEFHfd]|[23]J))"
)
"""What moves the cursor to another line, clears the screen or resets the terminal. These patterns begin with a set of
characters, which is what `re` searches fast."""
_ESCAPE = re.compile(
    rf"[\x1b\x90\x98\x9b\x9d-\x9f](?:{_CSI}[0-?]*[ -/]*[@-~]?"
    r"|(?:(?<=[\x90\x98\x9d-\x9f])|(?<=\x1b)[\]PX^_])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"  # OSC, DCS, SOS, PM, APC
    r"|(?<=\x1b)[ -/]*[0-~]?)"
)
_UNSEEN = re.compile("[\x00-\x06\x0e-\x1a\x1c-\x1f\x7f]")
_TAB = 8
_OPEN = re.compile(
    r"(?:(?:\x1b\[|\x9b)[0-?]*[ -/]*|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*\x1b?|\x1b[ -/]*)\Z"
)
"""A sequence that is not complete yet."""


def printed_line(text: str) -> str:
    """One line as it would stand on a screen. Safe for a terminal."""
    if text.isascii() and text.isprintable():
        return text
    text = _ESCAPE.sub("", text)
    if "\x08" in text:
        text = _without_erased(text)
    over = ""
    for part in reversed(text.split("\r")):  # the last one lies on top
        if len(part) > len(over):
            over += part[len(over) :]
    return clean(_UNSEEN.sub("", over).expandtabs(_TAB).replace("\x07", ""))


def _without_erased(text: str) -> str:
    """Apply the backspaces."""
    left: list[str] = []
    for char in text:
        if char != "\x08":
            left.append(char)
        elif left and left[-1] != "\r":
            left.pop()
    return "".join(left)


class Printed:
    """Turns pieces of text, cut anywhere, into lines."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> list[str]:
        """The lines that are complete by now."""
        self._held += text
        whole = self._held
        if (open_ := _OPEN.search(whole, max(0, len(whole) - _MAX_HELD))) is not None:
            whole = whole[: open_.start()]
        kept = self._held[len(whole) :]
        if not whole.isprintable():  # once for all lines: a call for each takes longer
            whole = _ESCAPE.sub("", _NEW_LINE.sub("\n", whole))
        lines = whole.split("\n")
        rest = lines.pop()
        if len(rest) > _MAX_HELD:
            lines.append(rest)
            rest = ""
        self._held = rest + (kept if len(kept) < _MAX_HELD else "")
        found: list[str] = []
        for line in lines:
            shown = printed_line(line.rstrip("\r"))
            found += [shown] if len(shown) <= MAX_LINE else _broken(shown)
        return found

    @property
    def rest(self) -> list[str]:
        """The last line, which is not complete yet: a prompt."""
        return _broken(printed_line(self._held.rstrip("\r"))) if self._held else []


def printed_lines(text: str) -> list[str]:
    """All lines of a text."""
    printed = Printed()
    return [*printed.feed(text), *printed.rest]


def _broken(line: str) -> list[str]:
    return [line[at : at + MAX_LINE] for at in range(0, max(1, len(line)), MAX_LINE)]
