"""The `/` line below a list: what is typed filters at once, and what it lets through stands beside it."""

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

from novacron_core.rules.filters.language import MAX_LENGTH
from novacron_tui.widgets.text_bar import Piece, content

KEPT = 50
"""How many filters the up key goes back through."""


class _Typed(Input):
    """An input of fixed size: Textual's lays the whole screen out anew at each key."""

    virtual_size = Reactive(Size(0, 0))


class FilterLine(Horizontal):
    """Away while there is no filter and none is typed. `enter` keeps the filter, `esc` clears it, up and down go through
    those that were kept before. The list it belongs to answers each `Changed` with `tell`."""

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
        """Another text."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Closed(Message):
        """Typing is over; `kept` is False when the filter was cleared."""

        def __init__(self, *, kept: bool) -> None:
            super().__init__()
            self.kept = kept

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._input = _Typed(placeholder="filter", max_length=MAX_LENGTH, select_on_focus=False, compact=True)
        self._input.cursor_blink = False
        self._through = Static(id="through")
        self._told: tuple[str, str] = ("", "")
        self._history: list[str] = []
        self._back = 0
        self._draft = ""

    def compose(self) -> ComposeResult:
        yield Static(content([Piece("/", "key")]), id="slash")
        yield self._input
        yield self._through

    @property
    def text(self) -> str:
        """The filter as it stands."""
        return self._input.value.strip()

    @property
    def editing(self) -> bool:
        """Whether keys go into it now."""
        return self._input.has_focus

    def open(self, placeholder: str = "") -> None:
        """Show it and type into it, from what it holds on."""
        self._input.placeholder = placeholder or self._input.placeholder
        self.add_class("-shown")
        self._back, self._draft = 0, self._input.value
        self._input.focus()
        self._input.cursor_position = len(self._input.value)

    def put(self, text: str) -> None:
        """Filter by this, as if it had been typed and kept."""
        self.add_class("-shown")
        self._input.value = text
        self._told = ("", "")
        self.keep()

    def go_on_from(self, before: FilterLine) -> None:
        """Show another line's filter, as kept, and know those before it. The list is not told: it has another's place too."""
        self._history = list(before._history)
        self._input.value = before.text
        self.set_class(bool(before.text), "-shown")

    def tell(self, words: str, tone: str = "quiet") -> None:
        """What stands on its right side: how many it lets through, or that it is not understood."""
        if (words, tone) != self._told:
            self._told = (words, tone)
            self._through.update(content([Piece(words, tone)]), layout=False)

    def action_clear(self) -> None:
        """No filter; the line goes away."""
        self._input.value = ""
        self.remove_class("-shown")
        self.post_message(self.Changed(""))
        self.post_message(self.Closed(kept=False))

    def action_earlier(self, by: int) -> None:
        """The filter kept before this one, or after it."""
        back = max(0, min(self._back + by, len(self._history)))
        if back == self._back:
            return
        if self._back == 0:
            self._draft = self._input.value
        self._back = back
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
        """Typing is over and the filter stays; an empty one does not, and one that is not understood is not left yet."""
        if self._told[1] == "bad":
            return
        if not self.text:
            self.action_clear()
            return
        self._history = [*(kept for kept in self._history if kept != self.text), self.text][-KEPT:]
        self.post_message(self.Closed(kept=True))

    def on_descendant_blur(self) -> None:
        """Typing ended by a click elsewhere: an empty line does not stay."""
        if not self.text:
            self.remove_class("-shown")

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self.open()
