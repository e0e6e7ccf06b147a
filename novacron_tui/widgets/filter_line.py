"""The `/` line below a list: it filters while typing and shows the number of matches."""

from __future__ import annotations

from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.geometry import Size
from textual.message import Message
from textual.reactive import Reactive
from textual.widgets import Input, Static
from textual.widgets.input import Selection

from novacron_core.rules.filters.language import MAX_LENGTH
from novacron_tui.widgets.text_bar import Piece, content

HISTORY_LENGTH = 50
"""Number of previous filters in the history."""


class _Typed(Input):
    """An input of fixed virtual size: Textual's own causes a layout of the whole screen at every key."""

    virtual_size = Reactive(Size(0, 0))


class FilterLine(Horizontal):
    """Hidden while there is no filter. `enter` keeps the filter, `esc` clears it, up and down go through the history.
    The list handles `Changed` and calls `show_note`."""

    DEFAULT_CSS = """
    FilterLine { height: 1; display: none; background: $surface; padding: 0 1; }
    FilterLine.-shown { display: block; }
    FilterLine #slash { width: 2; color: $accent; }
    FilterLine Input, FilterLine Input:focus {
        width: 1fr; height: 1; border: none; padding: 0; background: $surface; background-tint: $foreground 0%;
    }
    FilterLine #through { width: 20; padding-left: 2; text-align: right; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "clear", show=False),
        Binding("up", "earlier(1)", show=False),
        Binding("down", "earlier(-1)", show=False),
    ]

    class Changed(Message):
        """The filter text has changed."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Closed(Message):
        """Typing has ended; `kept` is False when the filter was cleared."""

        def __init__(self, *, kept: bool) -> None:
            super().__init__()
            self.kept = kept

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._input = _Typed(placeholder="filter", max_length=MAX_LENGTH, select_on_focus=False, compact=True)
        self._input.cursor_blink = False
        self._note_widget = Static(id="through")
        self._note: tuple[str, str] = ("", "")
        self._history: list[str] = []
        self._history_at = 0
        self._draft = ""

    def compose(self) -> ComposeResult:
        yield Static(content([Piece("/", "key")]), id="slash")
        yield self._input
        yield self._note_widget

    @property
    def text(self) -> str:
        """The current filter text."""
        return self._input.value.strip()

    @property
    def editing(self) -> bool:
        """Whether it has the focus."""
        return self._input.has_focus

    def open(self, placeholder: str = "") -> None:
        """Show the line with its text selected: typing replaces it, an arrow or End goes on from it."""
        self._input.placeholder = placeholder or self._input.placeholder
        self.add_class("-shown")
        self._history_at, self._draft = 0, self._input.value
        self._input.focus()
        self._input.selection = Selection(0, len(self._input.value))

    def put(self, text: str) -> None:
        """Set a filter as if it had been typed and kept."""
        self.add_class("-shown")
        self._input.value = text
        self._note = ("", "")
        self.keep()

    def restore_from(self, before: FilterLine) -> None:
        """Take over filter and history of another line. The list is not notified: it is restored too."""
        self._history = list(before._history)
        self.begin_with(before.text)

    def begin_with(self, text: str) -> None:
        """Have a filter from the beginning. The list is not notified."""
        self._input.value = text[:MAX_LENGTH]
        self.set_class(bool(text), "-shown")

    def show_note(self, words: str, tone: str = "quiet") -> None:
        """Show a note on the right: the number of matches, or that the filter is invalid."""
        if (words, tone) != self._note:
            self._note = (words, tone)
            self._note_widget.update(content([Piece(words, tone)]), layout=False)

    def action_clear(self) -> None:
        """Clear the filter and hide the line."""
        self._input.value = ""
        self.remove_class("-shown")
        self.post_message(self.Changed(""))
        self.post_message(self.Closed(kept=False))

    def action_earlier(self, by: int) -> None:
        """Go back (positive) or forward in the history."""
        back = max(0, min(self._history_at + by, len(self._history)))
        if back == self._history_at:
            return
        if self._history_at == 0:
            self._draft = self._input.value
        self._history_at = back
        self._input.value = self._history[-back] if back else self._draft
        self._input.cursor_position = len(self._input.value)

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        if self.has_class("-shown"):
            self.post_message(self.Changed(self.text))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.keep()

    def keep(self) -> None:
        """Keep the filter and end typing. An empty filter is cleared; an invalid one stays open."""
        if self._note[1] == "bad":
            return
        if not self.text:
            self.action_clear()
            return
        self._history = [*(kept for kept in self._history if kept != self.text), self.text][-HISTORY_LENGTH:]
        self.post_message(self.Closed(kept=True))

    def on_descendant_blur(self) -> None:
        """Hide an empty line after a click elsewhere."""
        if not self.text:
            self.remove_class("-shown")

    def on_click(self, event: events.Click) -> None:
        event.stop()
        if not self.editing:
            self.open()
