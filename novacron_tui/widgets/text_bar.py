"""A line made of pieces: pieces that do not fit are dropped by rank, and only changed cells are painted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.geometry import Region
from textual.message import Message
from textual.widget import Widget

from novacron_tui.widgets.cells import fit

TONE_STYLES: dict[str, str] = {
    "plain": "$foreground",
    "quiet": "$tone-quiet",
    "strong": "$foreground bold",
    "good": "$tone-good",
    "busy": "$tone-busy",
    "warn": "$tone-warn",
    "bad": "$tone-bad bold",
    "accent": "$accent",
    "key": "$accent bold",
    "brand": "$on-accent bold on $accent",
    "alarm": "$on-accent bold on $tone-warn",
    "danger": "$on-accent bold on $tone-bad",
    "badge": "$foreground on $panel",
}


_SAME_GROUND = frozenset(tone for tone, style in TONE_STYLES.items() if " on " not in style)
"""Tones without a background of their own: a blank looks the same in all of them."""
_MERGE_GAP = 4
"""Two changes with at most this many cells between them are painted as one: it is cheaper than moving the cursor."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of text. Pieces with the highest `rank` are dropped first, with their whole `group`; rank 0 is kept. `name`
    is the name of the click event."""

    text: str
    tone: str = "plain"
    rank: int = 0
    name: str = ""
    group: str = ""


def content(pieces: Sequence[Piece]) -> Content:
    """The pieces as styled text, without interpreting markup."""
    runs: list[tuple[str, str]] = []
    for piece in pieces:
        if runs and runs[-1][1] == TONE_STYLES[piece.tone]:
            runs[-1] = (runs[-1][0] + piece.text, runs[-1][1])
        else:
            runs.append((piece.text, TONE_STYLES[piece.tone]))
    return Content.assemble(*runs)


def fitted(left: Sequence[Piece], right: Sequence[Piece], width: int) -> tuple[list[Piece], list[Piece]]:
    """The pieces of both sides that fit in `width` cells with two cells between the sides."""
    pieces = [*left, *right]
    sizes = [cell_len(piece.text) for piece in pieces]
    room, on_right = width - sum(sizes) - 2 * bool(right), len(right)
    dropped: set[int] = set()
    for first in sorted((at for at, piece in enumerate(pieces) if piece.rank), key=lambda at: -pieces[at].rank):
        if room >= 0:
            break
        if first in dropped:
            continue
        group = pieces[first].group
        group_members = [at for at, piece in enumerate(pieces) if at == first or (group and piece.group == group)]
        for at in set(group_members) - dropped:
            room += sizes[at]
            on_right -= at >= len(left)
            room += 2 * (at >= len(left) and not on_right)
        dropped.update(group_members)
    kept = [
        [piece for at, piece in enumerate(pieces) if at not in dropped and (at >= len(left)) is side]
        for side in (False, True)
    ]
    return kept[0], kept[1]


def _cells(pieces: Sequence[Piece]) -> int:
    return sum(cell_len(piece.text) for piece in pieces)


def changed(before: Sequence[object], after: Sequence[object]) -> list[tuple[int, int]]:
    """The ranges of cells, end exclusive, in which two lines differ. Nearby ranges are merged."""
    runs: list[tuple[int, int]] = []
    for at in range(max(len(before), len(after))):
        if before[at : at + 1] == after[at : at + 1]:
            continue
        if runs and at - runs[-1][1] <= _MERGE_GAP:
            runs[-1] = (runs[-1][0], at + 1)
        else:
            runs.append((at, at + 1))
    return runs


def spread(left: Sequence[Piece], right: Sequence[Piece], width: int) -> list[Piece]:
    """A line of `width` cells with a left and a right side; pieces that do not fit are dropped by rank, and then the
    left side is cut."""
    left, right = fitted(left, right, width)
    room = width - _cells(right)
    if _cells(left) > room:
        runs = fit(tuple((piece.text, piece.tone) for piece in left), max(1, room - bool(right)))
        left = [Piece(text, tone) for text, tone in runs]
    return [*left, Piece(" " * (width - _cells((*left, *right)))), *right]


class TextBar(Widget):
    """A line with a left and a right side."""

    ALLOW_SELECT = False
    DEFAULT_CSS = "TextBar { height: 1; width: 1fr; }"

    class Pressed(Message):
        """A click on a named piece."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, *, margin: int = 0, id: str | None = None) -> None:
        super().__init__(id=id)
        self._margin = margin
        self._left: tuple[Piece, ...] = ()
        self._right: tuple[Piece, ...] = ()
        self._fitted: tuple[int, list[Piece]] = (-1, [])

    def show(self, left: Sequence[Piece], right: Sequence[Piece] = ()) -> None:
        """Show these pieces; only changed cells are painted."""
        if (tuple(left), tuple(right)) == (self._left, self._right):
            return
        before = self._cells_shown()
        self._left, self._right = tuple(left), tuple(right)
        self._fitted = (-1, [])
        if runs := changed(before, self._cells_shown()):
            self.refresh(*(Region(start, 0, end - start, 1) for start, end in runs))

    def _cells_shown(self) -> list[tuple[str, str, int]]:
        """For each cell the character, its tone, and the index of the cell in a wide character, which is never
        split."""
        return [
            (char, "plain" if char == " " and piece.tone in _SAME_GROUND else piece.tone, part)
            for piece in self._pieces()
            for char in piece.text
            for part in range(1 if char.isascii() else cell_len(char))
        ]

    def _pieces(self) -> list[Piece]:
        if self._fitted[0] != self.size.width:
            self._fitted = (self.size.width, self._fit_in(self.size.width - 2 * self._margin))
        return self._fitted[1]

    def _fit_in(self, room: int) -> list[Piece]:
        left, right = fitted(self._left, self._right, room)
        space = max(0, room - _cells(left) - _cells(right))
        edge = Piece(" " * self._margin, "quiet")
        return [edge, *left, Piece(" " * space, "quiet"), *right, edge]

    def shows(self, name: str) -> bool:
        """Whether a piece with this name is visible."""
        return any(piece.name == name for piece in self._pieces())

    @property
    def text(self) -> str:
        """The visible text."""
        return self.render().plain

    def render(self) -> Content:
        line = content(self._pieces())
        return line.truncate(self.size.width, ellipsis=True) if self.size.width else line

    def on_click(self, event: events.Click) -> None:
        at = 0
        for piece in self._pieces():
            at += cell_len(piece.text)
            if event.x < at:
                if piece.name:
                    self.post_message(self.Pressed(piece.name))
                return
