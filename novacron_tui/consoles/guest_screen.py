"""What an emulator behind ours must be able to do, so that another one can take its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from novacron_tui.consoles.screen_rows import CursorPosition, ScreenRow

MAX_MARKS = 2
"""Marks on one character. More are drawn over its neighbours, and cost memory."""


class GuestScreen(Protocol):
    """A screen of cells. All rows and columns count from 0."""

    def write(self, text: str) -> None:
        """Text, cursor controls, and the sequences that GuestStream passes on, each of them whole."""

    def combine(self, mark: str) -> None:
        """Add a character without a width to the last one before the cursor."""

    def repeat(self, count: int) -> None:
        """Write the last character again, if it is what was written last."""

    def alternate(self, entered: bool, saving: bool) -> None:
        """Enter (cleared) or leave the alternate screen; `saving`: with the cursor."""

    def reset(self) -> None:
        """As at power-on; the size stays."""

    def resize(self, columns: int, rows: int) -> None:
        """Change the size. What no longer fits above the cursor goes to the scrollback."""

    @property
    def cursor(self) -> CursorPosition:
        """The cursor's cell."""

    def row(self, at: int) -> ScreenRow:
        """A row of the screen that is shown."""

    def changed_rows(self) -> list[int]:
        """The rows that may have changed since this was last asked."""


MakeScreen = Callable[[int, int, Callable[[ScreenRow], None]], GuestScreen]
"""Makes a screen of so many columns and rows, which hands every row that leaves the top of its main screen to a call."""
