"""A small form over a screen: fields, one button that sends, and the reason when it is refused; nothing typed is lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Select, Static

from novacron_tui.widgets.field import Field
from novacron_tui.widgets.line import Piece, content
from novacron_tui.widgets.toggle import Toggle

Values = Mapping[str, str]
"""What stands in the fields, by their names; a toggle is `yes` or empty."""


class Refused(Exception):
    """Sending was refused: the sentence, and, where one is to blame, the field."""

    def __init__(self, sentence: str, field: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.field = field


def choice(options: Sequence[tuple[str, str]], value: str = "") -> Select[str]:
    """A choice between (words, value) pairs; the first, or `value`, is chosen."""
    if not options:
        return Select([])
    return Select(options, value=value or options[0][1], allow_blank=False)


class Form(ModalScreen[bool]):
    """Dismissed with True once `send` returned; `send` raises Refused and the form stays as it was."""

    DEFAULT_CSS = """
    Form { align: center middle; background: $background 60%; }
    Form > VerticalScroll {
        width: 72; max-width: 98%; height: auto; max-height: 98%; padding: 1 2 0 2; scrollbar-size-vertical: 1;
        background: $surface; border: round $accent; border-title-color: $accent; border-title-style: bold;
        border-subtitle-color: $tone-quiet;
    }
    Form .intro { height: auto; margin-bottom: 1; }
    Form Select { width: 1fr; height: 1; }
    Form SelectCurrent, Form Select:focus > SelectCurrent {
        border: none; border-left: wide $rule; height: 1; padding: 0 1; background: $panel; background-tint: $foreground 0%;
    }
    Form Select:focus > SelectCurrent { border-left: wide $accent; }
    Form .-wrong SelectCurrent { border-left: wide $tone-bad; }
    Form SelectOverlay { border: none; border-left: wide $accent; padding: 0; background: $panel; max-height: 6; }
    Form #said { height: auto; min-height: 1; }
    Form Horizontal.buttons { height: 1; align-horizontal: right; margin-bottom: 1; }
    Form Button { margin-left: 2; border: none; height: 1; min-width: 10; padding: 0 2; background: $panel; color: $foreground; text-style: none; }
    Form Button#cancel:focus { background: $cursor-ground; text-style: $focus-style; }
    Form Button#send { color: $accent; text-style: bold; }
    Form Button#send:focus { background: $accent; color: $on-accent; }
    Form Button#send:disabled { color: $tone-quiet; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", show=False),
        Binding("ctrl+s", "send", show=False, priority=True),
        Binding("down", "app.focus_next", show=False),
        Binding("up", "app.focus_previous", show=False),
    ]

    def __init__(
        self,
        title: str,
        fields: Mapping[str, Field],
        verb: str,
        send: Callable[[Values], Awaitable[None]],
        intro: Sequence[Sequence[Piece]] = (),
    ) -> None:
        super().__init__()
        self._title, self._verb, self._send, self._intro = title, verb, send, intro
        self.fields = dict(fields)
        self._sending = False

    def compose(self) -> ComposeResult:
        box = VerticalScroll(can_focus=False)
        box.border_title = Content(self._title)
        box.border_subtitle = Content(f"ctrl+s {self._verb.lower()}s · esc cancels")
        with box:
            for line in self._intro:
                yield Static(content(line), classes="intro")
            yield from self.fields.values()
            yield Static("", id="said")
            with Horizontal(classes="buttons"):
                yield Button("Cancel", id="cancel", compact=True)
                yield Button(Content(self._verb), id="send", compact=True)

    def on_mount(self) -> None:
        next(iter(self.fields.values())).widget.focus()

    def values(self) -> Values:
        return {name: _value(field) for name, field in self.fields.items()}

    def action_leave(self) -> None:
        if not self._sending:
            self.dismiss(False)

    @on(Button.Pressed, "#cancel")
    def _cancelled(self) -> None:
        self.action_leave()

    @on(Input.Submitted)
    @on(Button.Pressed, "#send")
    @work(exclusive=True, group="send")
    async def action_send(self) -> None:
        wrong = [field for field in self.fields.values() if field.check()]  # every field says what is wrong with it
        if self._sending or wrong:
            return
        self._now_sending(True)
        try:
            await self._send(self.values())
        except Refused as e:
            self._now_sending(False)
            if e.field in self.fields:
                self.fields[e.field].complain(e.sentence)
                self.fields[e.field].widget.focus()
            self._say([Piece(e.sentence, "bad")] if e.field not in self.fields else [])
        else:
            self.dismiss(True)

    def _now_sending(self, sending: bool) -> None:
        self._sending = sending
        self.query_one("#send", Button).disabled = sending
        self._say([Piece("asking the server…", "busy")] if sending else [])

    def _say(self, pieces: Sequence[Piece]) -> None:
        self.query_one("#said", Static).update(content(pieces))


def _value(field: Field) -> str:
    widget = field.widget
    if isinstance(widget, Select):
        return "" if widget.is_blank() else str(widget.value)
    if isinstance(widget, Toggle):
        return "yes" if widget.value else ""
    return field.value.strip()
