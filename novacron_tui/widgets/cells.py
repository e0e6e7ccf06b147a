"""Table columns and cells: which columns fit, their widths, and text truncated or padded to a width."""

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
"""Names that themes map to colours; cells contain tones, never colours."""


@dataclass(frozen=True)
class Column(Generic[R]):
    """A column. `width` is its minimum in cells; `stretch` is its share of the spare room, up to `widest`.

    Without enough room, columns with the highest `rank` are dropped first; rank 0 is always kept. Columns from rank
    MINOR on are also dropped to give others their preferred width, `wish`. `whole` truncates a cell at run boundaries.
    `sort` is its sort key; rows for which it is None come last. `largest_first`: a number, whose first order shows the largest at the top.
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
    largest_first: bool = False


def widths(columns: Sequence[Column[R]], room: int) -> list[tuple[Column[R], int]]:
    """The columns that fit in `room` cells, in order, each with its width."""
    kept = list(columns)
    while len(kept) > 1 and (last := max(kept, key=lambda column: column.rank)).rank > 0:
        if _total_width(kept, wished=last.rank >= MINOR) <= room:
            break
        kept.remove(last)
    sizes = {column.key: column.width for column in kept}
    spare = room - _total_width(kept, wished=False)
    for column in kept:
        more = max(0, min(column.wish - column.width, spare))
        sizes[column.key] += more
        spare -= more
    growing = [column for column in kept if column.stretch]
    while spare > 0 and growing:
        shares = sum(column.stretch for column in growing)
        for column in tuple(growing):
            more = min(max(1, spare * column.stretch // shares), column.widest - sizes[column.key], spare)
            sizes[column.key] += more
            spare -= more
            if sizes[column.key] >= column.widest:
                growing.remove(column)
    return [(column, min(sizes[column.key], max(1, room))) for column in kept]


def _total_width(columns: Sequence[Column[R]], *, wished: bool) -> int:
    sizes = (max(column.width, column.wish) if wished else column.width for column in columns)
    return sum(sizes) + GAP * (len(columns) - 1)


def padded(text: str, width: int) -> str:
    """The text with blanks up to `width` terminal cells; a wider one stays as it is."""
    return text + " " * (width - cell_len(text))


def fit(cell: Cell, width: int, *, right: bool = False, cut: str = "…", whole: bool = False) -> list[tuple[str, str]]:
    """The runs of a cell, truncated or padded to exactly `width` terminal cells; with `whole`, only at run
    boundaries."""
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
    return runs  # pragma: no cover - the loop always returns for a cell that is too wide


def segments(
    pieces: Iterable[tuple[str, str]], style_of: Callable[[str], Style], *, join_blanks: bool
) -> list[Segment]:
    """One segment per run of the same style; with `join_blanks`, blanks join the previous run. This saves output."""
    joined: list[Segment] = []
    run, run_style = "", None
    for text, tone in pieces:
        style = style_of(tone)
        if style == run_style or (join_blanks and run_style is not None and not text.strip()):
            run += text
            continue
        if run:
            joined.append(Segment(run, run_style))
        run, run_style = text, style
    joined.append(Segment(run, run_style))
    return joined
