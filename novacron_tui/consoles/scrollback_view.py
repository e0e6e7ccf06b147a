"""Which lines of a terminal are shown, what is searched for, and what is selected. Nothing here paints."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from rich.cells import cell_len

from novacron_tui.consoles.emulator import TerminalEmulator
from novacron_tui.consoles.screen_rows import ScreenRow, text_of

MAX_MATCHES = 10_000


class CellAt(NamedTuple):
    """A cell: its line's number in the emulator and its column from 0. Ordered as text is read."""

    line: int
    column: int


class FoundText(NamedTuple):
    """A match: `start` and `end` (exclusive) are columns."""

    line: int
    start: int
    end: int


@dataclass
class TextSelection:
    """From one cell to another, both included. `by_lines`: of whole lines."""

    anchor: CellAt
    cursor: CellAt
    by_lines: bool = False

    def columns(self, line: int, width: int) -> tuple[int, int] | None:
        """The first selected column of a line and the one after the last; None for none."""
        first, last = sorted((self.anchor, self.cursor))
        if not first.line <= line <= last.line:
            return None
        if self.by_lines:
            return 0, width
        return (
            first.column if line == first.line else 0,
            last.column + 1 if line == last.line else width,
        )


class ScrollbackView:
    """A window of `rows` lines over an emulator's. It follows the end unless `scroll` has moved it up."""

    def __init__(self, emulator: TerminalEmulator) -> None:
        self._emulator = emulator
        self._top: int | None = None
        self._end_seen = 0
        self.searched = ""
        self.matches: list[FoundText] = []
        self.current: FoundText | None = None
        self.selection: TextSelection | None = None
        self.copy_cursor: CellAt | None = None

    # -- scrolling -------------------------------------------------------------------------------------------------------

    @property
    def top(self) -> int:
        """The number of the first line that is shown."""
        if self._top is None:
            return self._emulator.top_line
        return max(self._emulator.first_line, min(self._top, self._emulator.top_line))

    @property
    def follows(self) -> bool:
        """Whether the end is shown, and new output moves the lines."""
        return self._top is None

    @property
    def below(self) -> int:
        """How many lines are below what is shown."""
        return self._emulator.top_line - self.top

    @property
    def new_below(self) -> int:
        """How many of them have come since it no longer follows."""
        return 0 if self._top is None else min(self.below, self._emulator.top_line - self._end_seen)

    def scroll(self, lines: int) -> None:
        """Move down by so many lines, or up."""
        self.show_line(self.top + lines)

    def show_line(self, top: int) -> None:
        """Show this line at the top, as far as there are lines; at the end, follow it."""
        if top >= self._emulator.top_line:
            self._top = None
            return
        if self._top is None:
            self._end_seen = self._emulator.top_line
        self._top = max(self._emulator.first_line, top)

    def follow(self) -> None:
        """Show the end."""
        self._top = None

    # -- searching -------------------------------------------------------------------------------------------------------

    def search(self, text: str, *, backwards: bool) -> None:
        """Find a text, and go to the nearest match; with the same text again, to the next one.

        Capitals count only if the text has some. Matches are within a line.
        """
        again = text == self.searched and self.current is not None
        before = self.current
        self.searched = text
        self.matches = list(self._find(text)) if text else []
        self.current = None
        if not self.matches:
            return
        rows = self._emulator.size[1]
        start = before if again and before else FoundText(self.top + (rows if backwards else -1), 0, 0)
        if backwards:
            self.current = next((each for each in reversed(self.matches) if each < start), self.matches[-1])
        else:
            self.current = next((each for each in self.matches if each > start), self.matches[0])
        self._show(self.current.line)

    @property
    def found(self) -> tuple[int, int]:
        """Which match is the current one, from 1, and how many there are; 0 of 0 for none."""
        at = self.matches.index(self.current) + 1 if self.current in self.matches else 0
        return at, len(self.matches)

    def end_search(self) -> None:
        """Forget the search."""
        self.searched, self.matches, self.current = "", [], None

    def matches_of(self, row: ScreenRow, line: int) -> tuple[FoundText, ...]:
        """The matches in a row that is shown, also in what came after the search."""
        return tuple(self._find_in(row, line, self.searched)) if self.searched else ()

    def _find(self, text: str) -> Iterator[FoundText]:
        count = 0
        for line in range(self._emulator.first_line, self._emulator.end_line):
            for match in self._find_in(self._emulator.line(line), line, text):
                yield match
                count += 1
                if count >= MAX_MATCHES:
                    return

    def _find_in(self, row: ScreenRow, line: int, text: str) -> Iterator[FoundText]:
        whole = text_of(row)
        folded = whole if text != text.lower() else whole.lower()
        if len(folded) != len(whole):  # of some letters the small one is two characters
            folded = whole
        at = folded.find(text)
        while at >= 0:
            start = at if whole.isascii() else cell_len(whole[:at])
            yield FoundText(line, start, start + cell_len(text))
            at = folded.find(text, at + len(text))

    def _show(self, line: int) -> None:
        """Scroll as little as needed to show a line."""
        rows = self._emulator.size[1]
        if line < self.top or line >= self.top + rows:
            self.show_line(line - rows // 2)

    # -- selecting -------------------------------------------------------------------------------------------------------

    def start_copy(self) -> None:
        """Show the cursor that selects: at the guest's one, or in the last line that is shown."""
        column, row = self._emulator.cursor
        rows = self._emulator.size[1]
        self.copy_cursor = CellAt(self.top + (row if self.follows else rows - 1), column if self.follows else 0)
        self.selection = None

    def end_copy(self) -> None:
        """Hide the cursor that selects, and forget the selection."""
        self.copy_cursor = self.selection = None

    def mark(self, *, by_lines: bool) -> None:
        """Begin to select at the cursor; once more, forget the selection or change what is selected by."""
        if self.copy_cursor is None:
            return
        if self.selection is None:
            self.selection = TextSelection(self.copy_cursor, self.copy_cursor, by_lines)
        elif self.selection.by_lines == by_lines:
            self.selection = None
        else:
            self.selection.by_lines = by_lines

    def move(self, columns: int, lines: int) -> None:
        """Move the cursor that selects; it takes the view and the selection with it."""
        if self.copy_cursor is None:
            return
        width = self._emulator.size[0]
        first, last = self._emulator.first_line, self._emulator.end_line - 1
        self.copy_cursor = CellAt(
            max(first, min(self.copy_cursor.line + lines, last)),
            max(0, min(self.copy_cursor.column + columns, width - 1)),
        )
        if self.selection is not None:
            self.selection.cursor = self.copy_cursor
        line, rows = self.copy_cursor.line, self._emulator.size[1]
        if line < self.top:
            self.show_line(line)
        elif line >= self.top + rows:
            self.show_line(line - rows + 1)

    def select(self, anchor: CellAt, cursor: CellAt) -> None:
        """Select by characters, as the mouse does."""
        self.selection = TextSelection(anchor, cursor)

    def selected_text(self) -> str:
        """The selected text, without blanks at the ends of lines; empty for none."""
        if self.selection is None:
            return ""
        first, last = sorted((self.selection.anchor, self.selection.cursor))
        lines = []
        for line in range(max(first.line, self._emulator.first_line), last.line + 1):
            columns = self.selection.columns(line, self._emulator.size[0])
            if columns is not None:
                lines.append(_cut(text_of(self._emulator.line(line)), *columns).rstrip())
        return "\n".join(lines)


def _cut(text: str, start: int, end: int) -> str:
    """The characters of a text in these columns; a wide one is taken with its left half."""
    if text.isascii():
        return text[start:end]
    out: list[str] = []
    column, taken = 0, False
    for char in text:
        width = cell_len(char)
        if width:
            taken = start <= column < end or (column < start < column + width)
        if taken:
            out.append(char)
        column += width
    return "".join(out)
