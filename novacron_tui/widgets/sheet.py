"""The common part of form dialogs: style, keys, and the message line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button, Static

from novacron_tui.widgets.text_bar import Piece, content

R = TypeVar("R")


class Sheet(ModalScreen[R]):
    """A form dialog: `esc` runs `leave`, `ctrl+s` runs `send`; the buttons are #cancel and #send."""

    DEFAULT_CSS = """
    Sheet { align: center middle; background: $background 60%; }
    Sheet > VerticalScroll {
        width: 72; max-width: 98%; height: auto; max-height: 98%; padding: 1 2 0 2; scrollbar-size-vertical: 1;
        background: $surface; border: round $accent; border-title-color: $accent; border-title-style: bold;
        border-subtitle-color: $tone-quiet;
    }
    Sheet .intro { height: auto; margin-bottom: 1; }
    Sheet Select { width: 1fr; height: 1; }
    Sheet SelectCurrent, Sheet Select:focus > SelectCurrent {
        border: none; border-left: wide $rule; height: 1; padding: 0 1; background: $panel; background-tint: $foreground 0%;
    }
    Sheet Select:focus > SelectCurrent { border-left: wide $accent; }
    Sheet .-wrong SelectCurrent { border-left: wide $tone-bad; }
    Sheet SelectOverlay { border: none; border-left: wide $accent; padding: 0; background: $panel; max-height: 6; }
    Sheet #said { height: auto; min-height: 1; }
    Sheet Horizontal.buttons { height: 1; align-horizontal: right; margin-bottom: 1; }
    Sheet Button { margin-left: 2; border: none; height: 1; min-width: 10; padding: 0 2; background: $panel; color: $foreground; text-style: none; }
    Sheet Button#cancel { text-style: none; }
    Sheet Button#cancel:focus { background: $cursor-ground; text-style: $focus-style; }
    Sheet Button#send { color: $accent; text-style: bold; }
    Sheet Button#send:focus { background: $accent; color: $on-accent; }
    Sheet Button#send:disabled { color: $tone-quiet; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", show=False),
        Binding("ctrl+s", "send", show=False, priority=True),
        Binding("down", "app.focus_next", show=False),
        Binding("up", "app.focus_previous", show=False),
    ]

    def sheet(self, title: str, verb: str, fields: Iterable[Widget]) -> ComposeResult:
        """The box with its fields and buttons."""
        box = VerticalScroll(can_focus=False)
        box.border_title = Content(title)
        box.border_subtitle = Content(f"ctrl+s {_third_person(verb)} · esc cancels")
        with box:
            yield from fields
            yield Static("", id="said")
            with Horizontal(classes="buttons"):
                yield Button("Cancel", id="cancel", compact=True)
                yield Button(Content(verb), id="send", compact=True)

    @on(Button.Pressed, "#cancel")
    async def _cancelled(self) -> None:
        await self.run_action("leave")

    def say(self, pieces: Sequence[Piece]) -> None:
        self.query_one("#said", Static).update(content(pieces))


def _third_person(verb: str) -> str:
    """`Move` as `moves`, `Copy` as `copies`, `Attach` as `attaches`."""
    word = verb.lower()
    if word.endswith("y"):
        return f"{word[:-1]}ies"
    return f"{word}es" if word.endswith("ch") else f"{word}s"
