"""Columns and cells of a table: which columns fit, how wide they are, and text cut or filled to a width."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style

R = TypeVar("R")

Cell = tuple[tuple[str, str], ...]
"""Runs of (text, tone)."""
GAP = 2
MINOR = 4
TONES = ("plain", "quiet", "strong", "good", "busy", "warn", "bad", "accent")
"""What a theme gives a colour to; a cell names tones, never colours."""


@dataclass(frozen=True)
class Column(Generic[R]):
    """One column. `width` is the least number of cells; `stretch` its share of what is left over, up to `widest`.

    Columns with the highest `rank` give way first where there is no room; rank 0 always stays. Those from rank MINOR on
    give way to what others would like to have, too: their `wish`. Of a cell that is cut, `whole` leaves out whole runs.
    """

    key: str
    title: str
    width: int
    cell: Callable[[R], Cell]
    sort: Callable[[R], Any] | None = None
    right: bool = False
    stretch: int = 0
    widest: int = 48
    rank: int = 0
    wish: int = 0
    whole: bool = False


def widths(columns: Sequence[Column[R]], room: int) -> list[tuple[Column[R], int]]:
    """The columns that fit in `room` cells, in their order, each with its width."""
    kept = list(columns)
    while len(kept) > 1 and (last := max(kept, key=lambda column: column.rank)).rank > 0:
        if _needed(kept, wished=last.rank >= MINOR) <= room:
            break
        kept.remove(last)
    sizes = {column.key: column.width for column in kept}
    left = room - _needed(kept, wished=False)
    for column in kept:
        more = max(0, min(column.wish - column.width, left))
        sizes[column.key] += more
        left -= more
    growing = [column for column in kept if column.stretch]
    while left > 0 and growing:
        shares = sum(column.stretch for column in growing)
        for column in tuple(growing):
            more = min(max(1, left * column.stretch // shares), column.widest - sizes[column.key], left)
            sizes[column.key] += more
            left -= more
            if sizes[column.key] >= column.widest:
                growing.remove(column)
    return [(column, min(sizes[column.key], max(1, room))) for column in kept]


def _needed(columns: Sequence[Column[R]], *, wished: bool) -> int:
    sizes = (max(column.width, column.wish) if wished else column.width for column in columns)
    return sum(sizes) + GAP * (len(columns) - 1)


def fit(cell: Cell, width: int, *, right: bool = False, cut: str = "…", whole: bool = False) -> list[tuple[str, str]]:
    """The cell's runs, cut or filled to exactly `width` terminal cells; `whole` runs are left out from the end."""
    total = _cells(cell)
    while whole and total > width and len(cell) > 1:
        cell = cell[:-1]
        total = _cells(cell)
    if total > width:
        return _shortened(cell, width, cut)
    runs = list(cell)
    if total < width:
        fill = (" " * (width - total), "plain")
        runs = [fill, *runs] if right else [*runs, fill]
    return runs


def _cells(cell: Cell) -> int:
    return sum(len(text) if text.isascii() else cell_len(text) for text, _ in cell)


def _shortened(cell: Cell, width: int, cut: str) -> list[tuple[str, str]]:
    runs: list[tuple[str, str]] = []
    room = width - 1
    for text, tone in cell:
        size = cell_len(text)
        if size > room:
            runs.append((set_cell_size(text, room) + cut, tone))
            return runs
        runs.append((text, tone))
        room -= size
    return runs  # pragma: no cover - a cell that is too wide always ends above


def segments(
    pieces: Iterable[tuple[str, str]], style_of: Callable[[str], Style], *, join_blanks: bool
) -> list[Segment]:
    """One segment for each run of the same style, and of blanks where their style does not show: fewer bytes to the
    terminal."""
    made: list[Segment] = []
    run, run_style = "", None
    for text, tone in pieces:
        style = style_of(tone)
        if style == run_style or (join_blanks and run_style is not None and not text.strip()):
            run += text
            continue
        if run:
            made.append(Segment(run, run_style))
        run, run_style = text, style
    made.append(Segment(run, run_style))
    return made
