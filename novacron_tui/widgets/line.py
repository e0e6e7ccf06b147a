"""One line of the screen made of pieces: what has no room is left out by rank, and what did not change is not painted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

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


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of text. The highest `rank` gives way first; 0 stays. `name` is what a click on it means."""

    text: str
    tone: str = "plain"
    rank: int = 0
    name: str = ""


def content(pieces: Sequence[Piece]) -> Content:
    """The pieces as styled text; nothing in them is read as markup."""
    return Content.assemble(*((piece.text, TONE_STYLES[piece.tone]) for piece in pieces))


def fitted(left: Sequence[Piece], right: Sequence[Piece], width: int) -> tuple[list[Piece], list[Piece]]:
    """What of both sides has room in `width` cells with one cell between them."""
    kept_left, kept_right = list(left), list(right)
    while _cells(kept_left) + _cells(kept_right) + 1 > width:
        droppable = [piece for piece in (*kept_left, *kept_right) if piece.rank]
        if not droppable:
            break
        first = max(droppable, key=lambda piece: piece.rank)
        (kept_left if any(piece is first for piece in kept_left) else kept_right).remove(first)
    return kept_left, kept_right


def _cells(pieces: Sequence[Piece]) -> int:
    return sum(cell_len(piece.text) for piece in pieces)


class Line(Widget):
    """A line with a left and a right side."""

    ALLOW_SELECT = False
    DEFAULT_CSS = "Line { height: 1; width: 1fr; }"

    class Pressed(Message):
        """A click on a piece that has a name."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._left: tuple[Piece, ...] = ()
        self._right: tuple[Piece, ...] = ()

    def show(self, left: Sequence[Piece], right: Sequence[Piece] = ()) -> None:
        """Show these pieces; the same as before costs nothing."""
        if (tuple(left), tuple(right)) != (self._left, self._right):
            self._left, self._right = tuple(left), tuple(right)
            self.refresh()

    @property
    def text(self) -> str:
        """What the line says, as far as it has room."""
        return self.render().plain

    def render(self) -> Content:
        left, right = fitted(self._left, self._right, self.size.width)
        space = max(0, self.size.width - _cells(left) - _cells(right))
        line = content([*left, Piece(" " * space if right else ""), *right])
        return line.truncate(self.size.width, ellipsis=True) if self.size.width else line

    def on_click(self, event: events.Click) -> None:
        left, right = fitted(self._left, self._right, self.size.width)
        at = 0
        for piece in (*left, Piece(" " * max(0, self.size.width - _cells(left) - _cells(right))), *right):
            at += cell_len(piece.text)
            if event.x < at:
                if piece.name:
                    self.post_message(self.Pressed(piece.name))
                return
