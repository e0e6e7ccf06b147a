"""A confirmation of an action that cannot be undone: yes or no, or a word that must be typed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label, Static

from novacron_tui.widgets.server_title import NamesServer
from novacron_tui.widgets.text_bar import Piece, content
from novacron_tui.widgets.toggle import Toggle

_KEYS, _TYPED_KEYS = "y yes   n no", "enter confirms   esc cancels"


@dataclass(frozen=True, slots=True)
class Question:
    """A question. `typed` must be typed if `typed_always` is set or the `option` is ticked."""

    title: str
    lines: Sequence[Sequence[Piece]]
    yes: str
    typed: str = ""
    typed_always: bool = False
    option: str = ""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The answer yes; `option` says whether the option was ticked."""

    option: bool = False


class Confirm(NamesServer, ModalScreen[Confirmation | None]):
    """Dismissed with a Confirmation, or None for no. The focus starts on *No*, so that enter alone changes nothing. It
    takes no answer from pasted text, nor before anybody can have read it (see TypeAhead)."""

    DEFAULT_CSS = """
    Confirm { align: center middle; background: $background 60%; }
    Confirm > Vertical {
        width: 64; max-width: 96%; height: auto; max-height: 96%; padding: 1 2;
        background: $surface; border: round $tone-bad; border-title-color: $tone-bad; border-title-style: bold;
        border-subtitle-color: $tone-quiet;
    }
    Confirm.-production > Vertical { border: heavy $tone-bad; }
    Confirm Static, Confirm Label { width: 100%; height: auto; }
    Confirm Toggle { margin-top: 1; }
    Confirm #ask { margin-top: 1; color: $tone-quiet; }
    Confirm Input, Confirm Input:focus {
        border: none; border-left: wide $accent; height: 1; padding: 0 1; background: $panel; background-tint: $foreground 0%;
    }
    Confirm Horizontal { height: 1; margin-top: 1; align-horizontal: right; }
    Confirm Button { margin-left: 2; min-width: 8; border: none; height: 1; padding: 0 2; background: $panel; color: $foreground; text-style: none; }
    Confirm Button#no { text-style: none; }
    Confirm Button#no:focus { background: $cursor-ground; text-style: $focus-style; }
    Confirm Button#yes { color: $tone-bad; text-style: bold; }
    Confirm Button#yes:disabled { color: $tone-quiet; text-style: none; }
    Confirm Button#yes:focus { background: $tone-bad; color: $on-accent; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,n", "no", show=False),
        Binding("y", "yes", show=False),
        Binding("left,h", "app.focus_previous", show=False),
        Binding("right,l", "app.focus_next", show=False),
    ]

    def __init__(self, question: Question) -> None:
        super().__init__()
        self._question = question
        self.asked_at: float | None = None
        """When it was shown, by time.monotonic()."""

    def compose(self) -> ComposeResult:
        question = self._question
        box = Vertical()
        box.border_title = self.titled(question.title)
        box.border_subtitle = Content(_TYPED_KEYS if question.typed_always else _KEYS)
        with box:
            for line in question.lines:
                yield Static(content(line))
            if question.option:
                yield Toggle(question.option, id="option")
            if question.typed:
                yield Label(content([Piece("Type "), Piece(question.typed, "strong"), Piece(" to confirm")]), id="ask")
                typed = Input(id="typed")
                typed.cursor_blink = False
                yield typed
            with Horizontal():
                yield Button("No", id="no", compact=True)
                yield Button(Content(question.yes), id="yes", compact=True)

    def on_mount(self) -> None:
        self.asked_at = monotonic()
        self._update_form()
        if self._question.typed_always:
            self.query_one("#typed").focus()
        else:
            self.query_one("#option" if self._question.option else "#no").focus()

    @property
    def _ticked(self) -> bool:
        return bool(self._question.option) and self.query_one("#option", Toggle).value

    @property
    def _must_type(self) -> bool:
        return bool(self._question.typed) and (self._question.typed_always or self._ticked)

    @on(Toggle.Turned)
    @on(Input.Changed)
    def _update_form(self) -> None:
        """Show or hide the text field, and enable *yes* when the answer is allowed."""
        if self._question.typed:
            self.query_one("#ask").display = self._must_type
            self.query_one("#typed").display = self._must_type
            self.query_one(Vertical).border_subtitle = Content(_TYPED_KEYS if self._must_type else _KEYS)
        self.query_one("#yes", Button).disabled = not self._allowed

    @property
    def _allowed(self) -> bool:
        return not self._must_type or self.query_one("#typed", Input).value == self._question.typed

    @on(Toggle.Turned)
    def _focus_typed(self) -> None:
        if self._must_type:
            self.query_one("#typed").focus()

    @on(Input.Submitted)
    @on(Button.Pressed, "#yes")
    def action_yes(self) -> None:
        if self._allowed:
            self.dismiss(Confirmation(self._ticked))

    @on(Button.Pressed, "#no")
    def action_no(self) -> None:
        self.dismiss(None)
