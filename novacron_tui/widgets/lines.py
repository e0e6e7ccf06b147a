"""A block of lines made of pieces."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.widgets import Static

from novacron_tui.widgets.text_bar import Piece, content


class LinesView(Static):
    """Call `show` as often as data or the clock changes; unchanged lines are not repainted."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.lines: Sequence[Sequence[Piece]] = []

    def show(self, lines: Sequence[Sequence[Piece]]) -> None:
        """Show these lines."""
        if lines != self.lines:
            self.lines = lines
            self.update(Content("\n").join(content(line) for line in lines))
