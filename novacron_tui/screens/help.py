"""`?`: every key that works on the screen below, in words, and why one does not work now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from textwrap import wrap
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from novacron_tui.terminal.safe_text import clean
from novacron_tui.widgets.text_bar import Piece, content

_LABEL, _ROOM = 11, 57
"""Cells for the label at least, and for label and sentence together, so that the page fits 80 columns."""


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One line of help. `refused` is why the key does nothing now."""

    key: str
    label: str
    help: str
    group: str
    refused: str = ""


class HelpScreen(ModalScreen[None]):
    """Drawn from the same rows as the footer."""

    DEFAULT_CSS = """
    HelpScreen { align: center middle; background: $background 60%; }
    HelpScreen > VerticalScroll {
        width: 76; max-width: 96%; height: auto; max-height: 92%; padding: 1 2; scrollbar-size-vertical: 1;
        background: $surface; border: round $accent; border-title-color: $accent; border-title-style: bold;
        border-subtitle-color: $tone-quiet;
    }
    HelpScreen Static { height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q,enter", "dismiss", show=False)]

    def __init__(self, rows: Sequence[KeyRow]) -> None:
        super().__init__()
        self._rows = rows

    def compose(self) -> ComposeResult:
        box = VerticalScroll()
        box.border_title = "Keys on this screen"
        box.border_subtitle = "esc closes"
        with box:
            for line in lines(self._rows):
                yield Static(line)


def lines(rows: Sequence[KeyRow]) -> list[Content]:
    """The help, group by group."""
    shown: list[Content] = []
    label = max((len(row.label) for row in rows), default=0)
    for group, rows_of_group in groupby(rows, key=lambda row: row.group):
        if shown:
            shown.append(Content(""))
        members = list(rows_of_group)
        common = _common(members)
        said = [Piece(f"  {common}", "warn")] if common else []
        shown.append(content([Piece(group or "Here", "accent"), *said]))
        shown += [_line(row, max(label, _LABEL), said_above=common) for row in members]
    return shown


def _common(rows: Sequence[KeyRow]) -> str:
    """What refuses two keys of a group or more in the same words: that is said once, beside the group's name."""
    (refused, times), *_ = Counter(row.refused for row in rows if row.refused).most_common(1) or [("", 0)]
    return _why(refused) if times > 1 else ""


def _why(refused: str) -> str:
    """The reason without the name of the thing, which the cursor shows."""
    return clean(refused.partition(": ")[2] or refused)


def _line(row: KeyRow, label: int, said_above: str) -> Content:
    key = "esc" if row.key == "escape" else row.key
    lead, words = f"{key:>8}  {row.label:<{label}} ", _ROOM - label
    first, *rest = wrap(row.help, words) or [""]
    pieces = [
        Piece(lead[:10], "quiet" if row.refused else "key"),
        Piece(lead[10:], "quiet" if row.refused else "strong"),
        Piece("\n".join([first, *(" " * len(lead) + more for more in rest)]), "quiet" if row.refused else "plain"),
    ]
    if row.refused and _why(row.refused) != said_above:
        why = wrap(_why(row.refused), words)
        pieces.append(Piece("".join(f"\n{' ' * len(lead)}{line}" for line in why), "warn"))
    return content(pieces)
