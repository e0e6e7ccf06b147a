"""The screen that pyte keeps: the fallback where bittty cannot be imported, and what tests compare bittty with.

pyte 0.8, LGPL-3, is not installed with NovaCron. Added here, because it lacks them: the alternate screen, scrolling by
CSI S and T, repetition, colours with colons, and rows that leave the top.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import pyte
from rich.cells import get_character_cell_size

from novacron_tui.consoles.guest_screen import MAX_MARKS
from novacron_tui.consoles.screen_rows import (
    BOLD,
    DEFAULT_COLOR,
    ITALIC,
    REVERSE,
    STRIKE,
    TRUE_COLOR,
    UNDERLINE,
    CellStyle,
    CursorPosition,
    ScreenRow,
    row_of,
)

_NAMES = ("black", "red", "green", "brown", "blue", "magenta", "cyan", "white")
_COLORS = {name: at for at, name in enumerate(_NAMES)} | {f"bright{name}": 8 + at for at, name in enumerate(_NAMES)}
_COLORS |= {"bfightmagenta": 13, "default": DEFAULT_COLOR}  # pyte's own spelling
_COLON_SGR = re.compile(r"\x1b\[([0-9;]*:[0-9;:]*)m")


class _Screen(pyte.Screen):
    """`kept` gets the rows that leave the top."""

    def __init__(self, columns: int, rows: int, kept: Callable[[int], None]) -> None:
        self._kept = kept
        super().__init__(columns, rows)

    def index(self) -> None:
        top, bottom = self.margins or (0, self.lines - 1)
        if self.cursor.y == bottom and top == 0:
            self._kept(1)
        super().index()

    def scroll_up(self, count: int = 1) -> None:
        top, bottom = self.margins or (0, self.lines - 1)
        count = min(count or 1, bottom - top + 1)
        if top == 0:
            self._kept(count)
        self._at_top(top, lambda: self.delete_lines(count))

    def scroll_down(self, count: int = 1) -> None:
        top, _ = self.margins or (0, 0)
        self._at_top(top, lambda: self.insert_lines(min(count or 1, self.lines)))

    def _at_top(self, top: int, act: Callable[[], None]) -> None:
        column, row = self.cursor.x, self.cursor.y
        self.cursor.y = top
        act()
        self.cursor.x, self.cursor.y = column, row

    def report_device_status(self, *_: Any, **__: Any) -> None:
        """Answered by TerminalEmulator."""


class _Stream(pyte.Stream):
    csi = pyte.Stream.csi | {"S": "scroll_up", "T": "scroll_down"}
    events = pyte.Stream.events | {"scroll_up", "scroll_down"}


class PyteScreen:
    """See GuestScreen."""

    def __init__(self, columns: int, rows: int, on_scrolled: Callable[[ScreenRow], None]) -> None:
        self._on_scrolled = on_scrolled
        self._main = _Screen(columns, rows, self._keep)
        self._other = _Screen(columns, rows, lambda count: None)
        self._screen = self._main
        self._stream = _Stream(self._screen)
        self._stream.use_utf8 = False  # else it ignores character sets
        self._last = ""

    def _keep(self, count: int) -> None:
        for at in range(count):
            self._on_scrolled(self._row(self._main, at))

    def write(self, text: str) -> None:
        if "\x1b[" in text and ":" in text:
            text = _COLON_SGR.sub(_without_colons, text)
        self._stream.feed(text)
        self._last = text[-1] if text[-1] >= " " and not re.search(r"\x1b[^\x1b]*\Z", text[-20:]) else ""

    def combine(self, mark: str) -> None:
        screen = self._screen
        line = screen.buffer[screen.cursor.y]
        column = screen.cursor.x - 1
        if column > 0 and not line[column].data:
            column -= 1
        if column >= 0 and line[column].data.strip() and len(line[column].data) <= MAX_MARKS:
            line[column] = line[column]._replace(data=line[column].data + mark)
            screen.dirty.add(screen.cursor.y)

    def repeat(self, count: int) -> None:
        if self._last:
            self._stream.feed(self._last * min(count, self._screen.columns))

    def alternate(self, entered: bool, saving: bool) -> None:
        column, row = self._screen.cursor.x, self._screen.cursor.y
        if saving and entered:
            self._main.save_cursor()
        attributes = self._screen.cursor.attrs
        self._screen = self._other if entered else self._main
        self._stream.attach(self._screen)
        self._screen.cursor.x, self._screen.cursor.y, self._screen.cursor.attrs = column, row, attributes
        if entered:
            self._screen.set_margins()
            self._screen.cursor.x, self._screen.cursor.y = column, row
            self._screen.erase_in_display(2)
        elif saving:
            self._screen.restore_cursor()
        self._screen.dirty.update(range(self._screen.lines))

    def reset(self) -> None:
        self._other.reset()
        self._main.reset()
        self._screen = self._main
        self._stream.attach(self._screen)

    def resize(self, columns: int, rows: int) -> None:
        """Not by pyte's own: it takes rows away at the top, whatever is below the cursor, and cuts the others."""
        for screen in (self._main, self._other):
            column, row = screen.cursor.x, screen.cursor.y
            screen.set_margins()
            if (above := row - rows + 1) > 0:
                if screen is self._main:
                    self._keep(above)
                screen.cursor.y = 0
                screen.delete_lines(above)
                row -= above
            for at in [at for at in screen.buffer if at >= rows]:
                del screen.buffer[at]
            screen.lines, screen.columns = rows, columns
            screen.cursor.x, screen.cursor.y = min(column, columns - 1), row
            screen.dirty.update(range(rows))

    @property
    def cursor(self) -> CursorPosition:
        return CursorPosition(min(self._screen.cursor.x, self._screen.columns - 1), self._screen.cursor.y)

    def row(self, at: int) -> ScreenRow:
        return self._row(self._screen, at)

    def _row(self, screen: Any, at: int) -> ScreenRow:
        line, cells = screen.buffer[at], []
        column = 0
        while column < screen.columns:
            char = line[column]
            is_wide = len(char.data) and get_character_cell_size(char.data[0]) == 2 and column + 1 < screen.columns
            cells.append((char, char.data or " "))
            if is_wide and not line[column + 1].data:
                cells.append((char, ""))
                column += 1
            column += 1
        return row_of([(_look(char), text) for char, text in cells], _cell_style)

    def changed_rows(self) -> list[int]:
        rows = sorted(at for at in self._screen.dirty if at < self._screen.lines)
        self._screen.dirty.clear()
        return rows


def _without_colons(match: re.Match[str]) -> str:
    """An SGR in the form that pyte knows: `38:2::1:2:3` as `38;2;1;2;3`, `4:3` as `4`."""
    parts = []
    for part in match[1].split(";"):
        numbers = part.split(":")
        if numbers[0] in ("38", "48") and numbers[1:2] == ["2"] and len(numbers) >= 6:
            numbers = [*numbers[:2], *numbers[3:6]]
        elif numbers[0] == "4" and len(numbers) > 1:
            numbers = ["24" if numbers[1] == "0" else "4"]
        elif numbers[0] == "58":
            continue
        parts.append(";".join(numbers))
    return f"\x1b[{';'.join(parts)}m"


_Look = tuple[str, str, bool, bool, bool, bool, bool]


def _look(char: Any) -> _Look:
    return _same(char.fg, char.bg, char.bold, char.italics, char.underscore, char.reverse, char.strikethrough)


@lru_cache(maxsize=4096)
def _same(*look: Any) -> _Look:
    """The same object for the same look, by which row_of joins cells."""
    return look


def _cell_style(look: _Look) -> CellStyle:
    foreground, background, *on = look
    flags = sum(flag for flag, is_on in zip((BOLD, ITALIC, UNDERLINE, REVERSE, STRIKE), on, strict=True) if is_on)
    return CellStyle(_color(foreground), _color(background), flags)


def _color(name: str) -> int:
    if name in _COLORS:
        return _COLORS[name]
    return TRUE_COLOR + int(name, 16)
