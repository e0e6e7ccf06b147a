"""A dialog with details, e.g. the full reason of a failure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from novacron_tui.widgets.text_bar import Piece, content

Lines = list[list[Piece]]
_LABEL = 14


def labelled(rows: Iterable[tuple[str, str]]) -> Lines:
    """A line for each label with its text; without those that have none."""
    return [[Piece(label.ljust(_LABEL), "quiet"), Piece(text)] for label, text in rows if text]


class Detail(ModalScreen[None]):
    DEFAULT_CSS = """
    Detail { align: center middle; background: $background 60%; }
    Detail > VerticalScroll {
        width: 90; max-width: 96%; height: auto; max-height: 92%; padding: 1 2; scrollbar-size-vertical: 1;
        background: $surface; border: round $accent; border-title-color: $accent; border-title-style: bold;
        border-subtitle-color: $tone-quiet;
    }
    Detail Static { height: auto; }
    """
    KEYS = "esc closes"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter", "dismiss", show=False)]

    def __init__(self, title: str, lines: Lines) -> None:
        super().__init__()
        self._title = title
        self._lines = lines

    def compose(self) -> ComposeResult:
        box = VerticalScroll()
        box.border_title = Content(self._title)
        box.border_subtitle = Content(self.KEYS)
        with box:
            for line in self._lines:
                yield Static(content(line))

    def add(self, lines: Lines) -> None:
        """Show more lines below, if it is still open."""
        if self.is_mounted:
            self.query_one(VerticalScroll).mount(*(Static(content(line)) for line in lines))
