"""Forms: labelled fields, checks while typing, one submission at a time, and the reason at the field it is about.

`Fields` is the form itself, as a part of a screen; `Form` is one in a dialog.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import ClassVar, Generic, TypeVar
from uuid import uuid4

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button, Input, Select, Static

from novacron_tui.widgets.confirm import Confirm, Question
from novacron_tui.widgets.field import FormField
from novacron_tui.widgets.server_title import NamesServer
from novacron_tui.widgets.text_bar import Piece, content

R = TypeVar("R")
Values = Mapping[str, str]
"""The values by field name, stripped; a toggle is `yes` or empty."""


class Refused(Exception):
    """The request was refused: the sentence, or a sentence for each field."""

    def __init__(self, sentence: str, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.fields = dict(fields or {})


Send = Callable[[Values, str], Awaitable[R]]
"""Sends the values under an idempotency key, which stays the same while the values do. Raises Refused."""


def choice(options: Sequence[tuple[str | Content, str]], value: str = "") -> Select[str]:
    """A selection of (label, value) pairs; `value`, or else the first one, is selected."""
    if not options:
        return Select([])
    return Select(options, value=value or options[0][1], allow_blank=False)


class Fields(Vertical):
    """Enter goes to the next field, and from the last one submits. Input is kept on errors."""

    DEFAULT_CSS = """
    Fields { height: auto; width: 100%; }
    Fields .intro { height: auto; margin-bottom: 1; }
    Fields .said { height: auto; min-height: 1; }
    Fields Horizontal.buttons { height: 1; align-horizontal: right; }
    Fields Button { margin-left: 2; border: none; height: 1; min-width: 10; padding: 0 2; background: $panel; color: $foreground; text-style: none; }
    Fields Button#cancel { text-style: none; }
    Fields Button#cancel:focus { background: $cursor-ground; text-style: $focus-style; }
    Fields Button#send { color: $accent; text-style: bold; }
    Fields Button#send:focus { background: $accent; color: $on-accent; }
    Fields Button#send:disabled { color: $tone-quiet; }
    Fields Select { width: 1fr; height: 1; }
    Fields SelectCurrent, Fields Select:focus > SelectCurrent {
        border: none; border-left: wide $rule; height: 1; padding: 0 1; background: $panel; background-tint: $foreground 0%;
    }
    Fields Select:focus > SelectCurrent { border-left: wide $accent; }
    Fields .-wrong SelectCurrent { border-left: wide $tone-bad; }
    Fields SelectOverlay { border: none; border-left: wide $accent; padding: 0; background: $panel; max-height: 6; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "next_field", show=False)]

    class Submitted(Message):
        """The operator submits the form, and its fields are valid."""

    def __init__(
        self,
        fields: Mapping[str, FormField],
        verb: str,
        *,
        intro: Sequence[Sequence[Piece]] = (),
        options: Sequence[Widget] = (),
        cancel: bool = False,
    ) -> None:
        """`verb` is on the button. `options` are toggles below the fields, which enter skips."""
        super().__init__()
        self.fields = dict(fields)
        for name, field in self.fields.items():
            if field.id is None:
                field.id = name.replace("_", "-")
        self._verb, self._intro, self._options, self._cancel = verb, intro, options, cancel
        self._message = Static("", classes="said")
        self.submitting = False

    def compose(self) -> ComposeResult:
        for line in self._intro:
            yield Static(content(line), classes="intro")
        yield from self.fields.values()
        yield from self._options
        yield self._message
        with Horizontal(classes="buttons"):
            if self._cancel:
                yield Button("Cancel", id="cancel", compact=True)
            yield Button(Content(self._verb), id="send", compact=True)

    def start(self, first: str = "") -> None:
        """Focus a field: by its name, or else the first empty one."""
        fields = list(self.fields.values())
        empty = next((field for field in fields if not field.value), fields[0])
        self.fields.get(first, empty).widget.focus()

    def values(self) -> Values:
        return {name: field.value.strip() for name, field in self.fields.items()}

    def say(self, pieces: Sequence[Piece]) -> None:
        """Show a message below the fields."""
        self._message.update(content(pieces))

    def set_submitting(self, submitting: bool) -> None:
        """Disable submitting while a request is in flight."""
        self.submitting = submitting
        for button in self.query("#send").results(Button):
            button.disabled = submitting

    def refuse(self, refusal: Refused) -> None:
        """Show each sentence at its field and focus the first of them; what is about no field is shown below all."""
        rest = [f"{name}: {text}" for name, text in refusal.fields.items() if name not in self.fields]
        wrong = [name for name in self.fields if name in refusal.fields]
        for name in wrong:
            self.fields[name].show_error(refusal.fields[name])
        if wrong:
            self.fields[wrong[0]].widget.focus()
        below = "; ".join(rest) if refusal.fields else refusal.sentence
        self.say([Piece(below, "bad")] if below else [])

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_next_field()

    def action_next_field(self) -> None:
        """Go to the next field; from the last one submit."""
        fields = [field for field in self.fields.values() if field.is_attached]
        at = next((at for at, field in enumerate(fields) if field.has_focus_within), None)
        if at is None or at == len(fields) - 1:
            self.submit()
        else:
            fields[at + 1].widget.focus()

    @on(Button.Pressed, "#send")
    def submit(self) -> None:
        """Check all fields, show the errors of all and focus the first invalid one; without one submit. Submitting
        again during the request does nothing."""
        if self.submitting:
            return
        wrong = [field for field in self.fields.values() if field.is_attached and field.check()]
        if wrong:
            wrong[0].widget.focus()
        else:
            self.say([])
            self.post_message(self.Submitted())


class Form(NamesServer, ModalScreen[R | None], Generic[R]):
    """A form in a dialog, dismissed with what `send` returned, or None. While `send` raises Refused it stays open."""

    DEFAULT_CSS = """
    Form { align: center middle; background: $background 60%; }
    Form > VerticalScroll {
        width: 72; max-width: 98%; height: auto; max-height: 98%; padding: 1 2 0 2; scrollbar-size-vertical: 1;
        background: $surface; border: round $accent; border-title-color: $accent; border-title-style: bold;
        border-subtitle-color: $tone-quiet;
    }
    Form Fields { margin-bottom: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", show=False),
        Binding("ctrl+s", "send", show=False, priority=True),
        Binding("down", "app.focus_next", show=False),
        Binding("up", "app.focus_previous", show=False),
    ]
    SENDING = "Sending…"
    FIRST = ""
    """The field with the cursor at first, if it is not the first one."""

    def __init__(
        self,
        title: str,
        fields: Mapping[str, FormField],
        verb: str,
        send: Send[R],
        intro: Sequence[Sequence[Piece]] = (),
    ) -> None:
        super().__init__()
        self._title, self._verb, self._send = title, verb, send
        self.form = Fields(fields, verb, intro=intro, cancel=True)
        self._key = ""
        self._sent: Values | None = None
        self._untouched: Values | None = None

    @property
    def fields(self) -> Mapping[str, FormField]:
        return self.form.fields

    def compose(self) -> ComposeResult:
        box = VerticalScroll(self.form, can_focus=False)
        box.border_title = self.titled(self._title)
        box.border_subtitle = Content(f"ctrl+s {_third_person(self._verb)} · esc cancels")
        yield box

    def on_mount(self) -> None:
        self.form.start(self.FIRST or next(iter(self.fields)))
        self.note_untouched()

    def note_untouched(self) -> None:
        """Take the present values as those that the operator has not changed."""
        self._untouched = self.form.values()

    @on(Button.Pressed, "#cancel")
    async def _cancelled(self) -> None:
        await self.run_action("leave")

    def action_send(self) -> None:
        self.form.submit()

    @on(Fields.Submitted)
    @work(exclusive=True, group="send")
    async def _submit(self) -> None:
        values = self.form.values()
        if values != self._sent:  # the same values again after a lost answer must have one effect
            self._key, self._sent = str(uuid4()), values
        self.form.set_submitting(True)
        self.say([Piece(self.SENDING, "busy")])
        try:
            result = await self._send(values, self._key)
        except Refused as e:
            self.form.set_submitting(False)
            self.form.refuse(e)
        else:
            self.dismiss(result)

    def say(self, pieces: Sequence[Piece]) -> None:
        """Show a message below the fields."""
        self.form.say(pieces)

    @work(exclusive=True, group="leave")
    async def action_leave(self) -> None:
        """Leave the form, of changed input only when asked; nothing is sent, and a request in flight is waited for."""
        if self.form.submitting:
            return
        self.say([])  # an earlier refusal
        if self._untouched is not None and self.form.values() != self._untouched:
            question = Question("Discard your changes?", [[Piece("Your input is not saved.")]], yes="Discard")
            if await self.app.push_screen_wait(Confirm(question)) is None:
                return
        self.dismiss(None)


def _third_person(verb: str) -> str:
    """`Move` as `moves`, `Copy` as `copies`, `Attach` as `attaches`, `Hand over` as `hands over`."""
    word, blank, rest = verb.lower().partition(" ")
    if word.endswith("y"):
        return f"{word[:-1]}ies{blank}{rest}"
    return f"{word}es{blank}{rest}" if word.endswith("ch") else f"{word}s{blank}{rest}"
