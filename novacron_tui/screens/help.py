"""The `?` help: every key of the screen below, and why one is unavailable now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from novacron_tui.terminal.safe_text import clean
from novacron_tui.widgets.cursor_keys import cursor_bindings
from novacron_tui.widgets.text_bar import Piece, content

_LABEL, _ROOM = 11, 57
"""Minimum cells of the label, and cells of label and sentence together, so that the page fits 80 columns."""


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One line of help. `refused` is why the key is unavailable now; `name` is that of its action, empty for what is no
    action."""

    key: str
    label: str
    help: str
    group: str
    refused: str = ""
    name: str = ""


class _Rows(OptionList):
    BINDINGS: ClassVar[list[BindingType]] = [
        *cursor_bindings(
            up="cursor_up", down="cursor_down", page_up="page_up", page_down="page_down", home="first", end="last"
        )
    ]


class HelpScreen(ModalScreen[KeyRow | None]):
    """Shows the actions in `rows`, the same as the footer. Dismissed with the one to perform, or None; `copy` is called
    with the one whose command is wanted."""

    DEFAULT_CSS = """
    HelpScreen { align: center middle; background: $background 60%; }
    HelpScreen > Vertical {
        width: 76; max-width: 96%; height: auto; max-height: 92%; padding: 1 2;
        background: $surface; border: round $accent; border-title-color: $accent; border-title-style: bold;
        border-subtitle-color: $tone-quiet;
    }
    HelpScreen OptionList, HelpScreen OptionList:focus {
        height: auto; max-height: 100%; border: none; padding: 0; background: $surface; scrollbar-size-vertical: 1;
    }
    HelpScreen OptionList > .option-list--option-highlighted, HelpScreen OptionList:focus > .option-list--option-highlighted {
        background: $cursor-ground; color: $foreground; text-style: none;
    }
    HelpScreen OptionList > .option-list--option-disabled { color: $accent; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q", "leave", show=False),
        Binding("y", "copy", show=False),
    ]

    def __init__(self, rows: Sequence[KeyRow], copy: Callable[[KeyRow], None]) -> None:
        super().__init__()
        self._entries = entries(rows)
        self._copy = copy

    def compose(self) -> ComposeResult:
        box = Vertical()
        box.border_title = "Keys on this screen"
        box.border_subtitle = "enter runs   y copies as a novacron command   esc closes"
        with box:
            yield _Rows(*(Option(line, disabled=row is None) for line, row in self._entries))

    def on_mount(self) -> None:
        listed = self.query_one(_Rows)
        listed.focus()
        listed.action_first()

    def action_leave(self) -> None:
        self.dismiss(None)

    def action_copy(self) -> None:
        at = self.query_one(_Rows).highlighted
        if at is not None and (row := self._entries[at][1]) is not None:
            self._copy(row)

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.dismiss(self._entries[event.option_index][1])


def entries(rows: Sequence[KeyRow]) -> list[tuple[Content, KeyRow | None]]:
    """The lines of the help, by group, in the order in which the groups first occur; those without a row are titles."""
    shown: list[tuple[Content, KeyRow | None]] = []
    label = max((len(row.label) for row in rows), default=0)
    groups: dict[str, list[KeyRow]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    for group, members in groups.items():
        if shown:
            shown.append((Content(""), None))
        group_reason = _common(members)
        group_pieces = [Piece(f"  {group_reason}", "warn")] if group_reason else []
        shown.append((content([Piece(group or "Here", "accent"), *group_pieces]), None))
        shown += [(_line(row, max(label, _LABEL), group_reason=group_reason), row) for row in members]
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
