"""A small form dialog: fields, a submit button, and the reason when it is refused. Input is kept on errors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from textual import on, work
from textual.app import ComposeResult
from textual.widgets import Button, Input, Select, Static

from novacron_tui.widgets.field import FormField
from novacron_tui.widgets.sheet import Sheet
from novacron_tui.widgets.text_bar import Piece, content
from novacron_tui.widgets.toggle import Toggle

Values = Mapping[str, str]
"""The values by field name; a toggle is `yes` or empty."""


class Refused(Exception):
    """The request was refused: the sentence, and the field it is about, if any."""

    def __init__(self, sentence: str, field: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.field = field


def choice(options: Sequence[tuple[str, str]], value: str = "") -> Select[str]:
    """A selection of (label, value) pairs; `value`, or else the first one, is selected."""
    if not options:
        return Select([])
    return Select(options, value=value or options[0][1], allow_blank=False)


class Form(Sheet[bool]):
    """Dismissed with True after `send` returns. If `send` raises Refused, the form stays open."""

    def __init__(
        self,
        title: str,
        fields: Mapping[str, FormField],
        verb: str,
        send: Callable[[Values], Awaitable[None]],
        intro: Sequence[Sequence[Piece]] = (),
    ) -> None:
        super().__init__()
        self._title, self._verb, self._send, self._intro = title, verb, send, intro
        self.fields = dict(fields)
        self._sending = False

    def compose(self) -> ComposeResult:
        intro = [Static(content(line), classes="intro") for line in self._intro]
        yield from self.sheet(self._title, self._verb, [*intro, *self.fields.values()])

    def on_mount(self) -> None:
        next(iter(self.fields.values())).widget.focus()

    def values(self) -> Values:
        return {name: _value(field) for name, field in self.fields.items()}

    def action_leave(self) -> None:
        if not self._sending:
            self.dismiss(False)

    @on(Input.Submitted)
    @on(Button.Pressed, "#send")
    def action_send(self) -> None:
        """Submit the form once: pressing again during the request does nothing."""
        wrong = [field for field in self.fields.values() if field.check()]  # show the errors of all fields
        if not self._sending and not wrong:
            self._set_sending(True)
            self._submit()

    @work(exclusive=True, group="send")
    async def _submit(self) -> None:
        try:
            await self._send(self.values())
        except Refused as e:
            self._set_sending(False)
            if e.field in self.fields:
                self.fields[e.field].show_error(e.sentence)
                self.fields[e.field].widget.focus()
            self.say([Piece(e.sentence, "bad")] if e.field not in self.fields else [])
        else:
            self.dismiss(True)

    def _set_sending(self, sending: bool) -> None:
        self._sending = sending
        self.query_one("#send", Button).disabled = sending
        self.say([Piece("Sending…", "busy")] if sending else [])


def _value(field: FormField) -> str:
    widget = field.widget
    if isinstance(widget, Select):
        return "" if widget.is_blank() else str(widget.value)
    if isinstance(widget, Toggle):
        return "yes" if widget.value else ""
    return field.value.strip()
