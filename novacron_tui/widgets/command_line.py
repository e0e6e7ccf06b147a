"""The `:` line: a command is typed, completed with tab and submitted with enter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.suggester import SuggestFromList
from textual.widget import Widget
from textual.widgets import Input, Static

from novacron_tui.widgets.text_bar import Piece, content

_LONGEST = 200


class CommandLine(Horizontal):
    """Hidden until it is opened. When it closes, the previously focused widget gets the focus back."""

    DEFAULT_CSS = """
    CommandLine { height: 1; display: none; background: $surface; padding: 0 1; }
    CommandLine.-shown { display: block; }
    CommandLine #colon { width: 2; color: $accent; }
    CommandLine Input, CommandLine Input:focus {
        width: 1fr; height: 1; border: none; padding: 0; background: $surface; background-tint: $foreground 0%;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", show=False),
        Binding("tab", "complete", show=False, priority=True),
    ]

    class Given(Message):
        """Enter was pressed on this text."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._input = Input(max_length=_LONGEST, select_on_focus=False, compact=True)
        self._input.cursor_blink = False
        self._before: Widget | None = None

    def compose(self) -> ComposeResult:
        yield Static(content([Piece(":", "key")]), id="colon")
        yield self._input

    @property
    def editing(self) -> bool:
        """Whether it has the focus."""
        return self._input.has_focus

    def open(self, commands: Sequence[str]) -> None:
        """Show the line and focus it; `commands` are used for completion."""
        self._before = self.screen.focused
        self.complete_from(commands)
        self._input.value = ""
        self.add_class("-shown")
        self._input.focus()

    def complete_from(self, commands: Sequence[str]) -> None:
        """Complete from these from the next key on."""
        self._input.suggester = SuggestFromList(commands, case_sensitive=False)

    def action_complete(self) -> None:
        self._input.action_cursor_right()

    def action_close(self) -> None:
        """Close without running a command."""
        self.remove_class("-shown")
        self.screen.set_focus(self._before)

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.run_typed()

    def run_typed(self) -> None:
        """Close the line and post its text."""
        self.action_close()
        if text := self._input.value.strip():
            self.post_message(self.Given(text))
