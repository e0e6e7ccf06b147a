"""The style of a table: CSS, component classes, and the rendering of lines as strips."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from rich.style import Style
from textual.strip import Strip

from novacron_tui.widgets.cells import TONES, Cell, Column, fit, segments

CSS = """
Table { background: $background; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; overflow-x: hidden; }
Table > .table--header { color: $tone-quiet; }
Table > .table--sorted { color: $accent; text-style: $strong-style; }
Table > .table--cursor { background: $cursor-ground; text-style: $cursor-style; }
Table > .table--marked { background: $panel; }
Table > .table--mark { color: $accent; text-style: bold; }
Table > .tone--plain { color: $foreground; }
Table > .tone--quiet { color: $tone-quiet; }
Table > .tone--strong { color: $foreground; text-style: $strong-style; }
Table > .tone--good { color: $tone-good; }
Table > .tone--busy { color: $tone-busy; }
Table > .tone--warn { color: $tone-warn; }
Table > .tone--bad { color: $tone-bad; text-style: $strong-style; }
Table > .tone--accent { color: $accent; }
"""
PARTS = {
    "table--header",
    "table--sorted",
    "table--cursor",
    "table--marked",
    "table--mark",
    *(f"tone--{tone}" for tone in TONES),
}
MARGIN = 2
"""Cells left of the first column, for the mark and a space."""
Layout = Sequence[tuple[Column[Any], int]]
"""The visible columns, each with its width in cells."""


@dataclass(frozen=True, slots=True)
class TableLine:
    """The content of a painted line; equal lines need no repaint."""

    cells: tuple[Cell, ...]
    cursor: bool
    marked: bool
    across: bool = False
    """The only cell is as wide as the table."""
    faded: bool = False
    """What it says may not be so any more."""


_HEADER = TableLine((), cursor=False, marked=False)
_FADING = frozenset(TONES) - {"bad"}


class TableStyle:
    """Renders lines and header as strips. `style_of` returns the style of a component class (`table--mark`)."""

    def __init__(self, style_of: Callable[[str], Style], signs: tuple[str, str, str, str]) -> None:
        self._style_of = style_of
        self._mark_sign, self._up_sign, self._down_sign, self._cut = signs
        self._styles: dict[tuple[str, str], Style] = {}

    def clear_cache(self) -> None:
        """Drop the cached styles after a theme change."""
        self._styles.clear()

    def line(self, line: TableLine, layout: Layout, width: int) -> Strip:
        mark = (f"{self._mark_sign} ", "mark") if line.marked else (" " * MARGIN, "strong")
        pieces: list[tuple[str, str]] = [mark]
        if line.across:
            pieces += fit(line.cells[0], max(1, width - MARGIN), cut="")
            return self._paint(pieces, width, line)
        for cell, (column, room) in zip(line.cells, layout, strict=False):
            pieces += fit(cell, room, right=column.right, cut=self._cut, whole=column.whole)
            pieces.append(("  ", "plain"))
        return self._paint(pieces, width, line)

    def header(self, layout: Layout, width: int, *, sort_key: str, descending: bool) -> Strip:
        """The titles of the columns."""
        pieces: list[tuple[str, str]] = [(" " * MARGIN, "header")]
        for column, room in layout:
            sorted_by = column.key == sort_key
            sign = (self._down_sign if descending else self._up_sign) if sorted_by else ""
            title = f"{sign}{column.title}" if column.right else f"{column.title}{sign}"
            pieces += fit(((title, "sorted" if sorted_by else "header"),), room, right=column.right, cut=self._cut)
            pieces.append(("  ", "header"))
        return self._paint(pieces, width, _HEADER)

    def _paint(self, pieces: Iterable[tuple[str, str]], width: int, line: TableLine) -> Strip:
        """A strip with one segment per run of the same style, to save output."""
        ground = "cursor" if line.cursor else "marked" if line.marked else ""
        faded = line.faded and not line.cursor  # quiet text on the cursor's ground would be hard to read
        plain = self._style("plain", ground, faded=faded)
        runs = segments(pieces, partial(self._style, ground=ground, faded=faded), join_blanks=not plain.reverse)
        return Strip(runs).adjust_cell_length(width, plain)

    def _style(self, tone: str, ground: str, *, faded: bool) -> Style:
        if faded and tone in _FADING:
            tone = "quiet"
        key = (tone, ground)
        if (held := self._styles.get(key)) is None:
            held = self._style_of(f"tone--{tone}" if tone in TONES else f"table--{tone}")
            if ground == "marked":
                held = held + Style(bgcolor=self._style_of("table--marked").bgcolor)
            elif ground == "cursor":
                below: Any = self._style_of("table--cursor")
                # With reverse, each tone would get its own background: use the plain colour for the whole cursor line.
                plain = self._style_of("tone--plain")
                colour = plain.color if below.reverse else held.color
                held = held + Style(color=colour, bgcolor=below.bgcolor, reverse=below.reverse)
            self._styles[key] = held
        return held
