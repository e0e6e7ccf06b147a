"""The `?` help: every key of the screen below, and why one is unavailable now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
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
"""Minimum cells of the label, and cells of label and sentence together, so that the page fits 80 columns."""


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One line of help. `refused` is why the key is unavailable now."""

    key: str
    label: str
    help: str
    group: str
    refused: str = ""


class HelpScreen(ModalScreen[None]):
    """Shows the actions in `rows`, the same as the footer."""

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
    """The lines of the help, by group, in the order in which the groups first occur."""
    shown: list[Content] = []
    label = max((len(row.label) for row in rows), default=0)
    groups: dict[str, list[KeyRow]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    for group, members in groups.items():
        if shown:
            shown.append(Content(""))
        group_reason = _common(members)
        group_pieces = [Piece(f"  {group_reason}", "warn")] if group_reason else []
        shown.append(content([Piece(group or "Here", "accent"), *group_pieces]))
        shown += [_line(row, max(label, _LABEL), group_reason=group_reason) for row in members]
    return shown


def _common(rows: Sequence[KeyRow]) -> str:
    """The reason shared by two or more keys of a group: it is shown once, beside the group's name."""
    (refused, times), *_ = Counter(row.refused for row in rows if row.refused).most_common(1) or [("", 0)]
    return _why(refused) if times > 1 else ""


def _why(refused: str) -> str:
    """The reason without the name of the object, which the cursor shows."""
    return clean(refused.partition(": ")[2] or refused)


def _line(row: KeyRow, label: int, group_reason: str) -> Content:
    key = "esc" if row.key == "escape" else row.key
    lead, words = f"{key:>8}  {row.label:<{label}} ", _ROOM - label
    first, *rest = wrap(row.help, words) or [""]
    pieces = [
        Piece(lead[:10], "quiet" if row.refused else "key"),
        Piece(lead[10:], "quiet" if row.refused else "strong"),
        Piece("\n".join([first, *(" " * len(lead) + more for more in rest)]), "quiet" if row.refused else "plain"),
    ]
    if row.refused and _why(row.refused) != group_reason:
        why = wrap(_why(row.refused), words)
        pieces.append(Piece("".join(f"\n{' ' * len(lead)}{line}" for line in why), "warn"))
    return content(pieces)
