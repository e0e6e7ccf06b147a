"""The two forms before the doors: create the first administrator, and sign in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Button, Input, Static

from novacron_core.api.problem import FieldError
from novacron_core.values.names import MIN_PASSWORD, why_not_password, why_not_username
from novacron_tui.widgets.field import FormField
from novacron_tui.widgets.text_bar import Piece, content
from novacron_tui.widgets.toggle import Toggle

ADVICE = f"{MIN_PASSWORD} characters or more: three or four words do well"


class EntryForm(Vertical):
    """A form with fields, one line for what went wrong and one button. Enter goes to the next field, then sends."""

    DEFAULT_CSS = """
    EntryForm { height: auto; width: 100%; }
    EntryForm .said { height: auto; min-height: 1; color: $tone-bad; }
    EntryForm .lead { height: auto; margin-bottom: 1; color: $tone-quiet; }
    EntryForm Horizontal.buttons { height: 1; align-horizontal: right; }
    EntryForm Button#send { border: none; height: 1; min-width: 12; padding: 0 2; background: $panel; color: $accent; text-style: bold; }
    EntryForm Button#send:focus { background: $accent; color: $on-accent; text-style: bold; }
    EntryForm Button#send:disabled { color: $tone-quiet; }
    """
    button = "Go"
    lead = ""

    @dataclass
    class Sent(Message):
        """The form is complete as far as it can know."""

        username: str
        password: str
        setup_token: str = ""
        stay: bool = False

    def fields(self) -> Sequence[FormField]:
        raise NotImplementedError

    def switches(self) -> Sequence[Toggle]:
        return ()

    def compose(self) -> ComposeResult:
        if self.lead:
            yield Static(content([Piece(self.lead, "quiet")]), classes="lead")
        yield from self.fields()
        yield from self.switches()
        self.said = Static("", classes="said")
        yield self.said
        with Horizontal(classes="buttons"):
            yield Button(self.button, id="send", compact=True)

    def start(self) -> None:
        """Put the cursor where typing begins: the first empty field."""
        fields = list(self.query(FormField))
        next((field for field in fields if not field.value), fields[0]).widget.focus()

    def say(self, text: str, tone: str = "bad") -> None:
        """One sentence below the fields."""
        self.said.update(content([Piece(text, tone)]))

    @property
    def held(self) -> bool:
        """Whether something was sent that has no answer yet, or must wait."""
        return bool(self.query("#send")) and self.query_one("#send", Button).disabled

    def hold(self, held: bool) -> None:
        """While held nothing can be sent."""
        self.query_one("#send", Button).disabled = held

    def blame(self, wrong: Sequence[FieldError]) -> bool:
        """Show a server's field errors at their fields, the first with the cursor; True when all found one."""
        blamed = []
        for error in wrong:
            for field in self.query(FormField):
                if field.id == error.field.replace("_", "-"):
                    field.complain(error.message)
                    blamed.append(field)
        if blamed:
            blamed[0].widget.focus()
        return bool(wrong) and len(blamed) == len(wrong)

    @on(Input.Submitted)
    def _next(self, event: Input.Submitted) -> None:
        event.stop()
        inputs = [field.widget for field in self.query(FormField)]
        if event.input is inputs[-1]:
            self.send()
        else:
            inputs[inputs.index(event.input) + 1].focus()

    @on(Button.Pressed)
    def _pressed(self) -> None:
        self.send()

    def send(self) -> None:
        """Check every field; the first that is wrong gets the cursor, else the form is sent."""
        if self.held:
            return
        for field in self.query(FormField):
            if field.check():
                field.widget.focus()
                return
        self.say("")
        self.post_message(self.sent())

    def sent(self) -> Sent:
        raise NotImplementedError


class SignInForm(EntryForm):
    """User and password; with `may_stay` also whether the session is kept for the next time."""

    button = "Sign in"

    def __init__(self, username: str = "", *, may_stay: bool = False) -> None:
        super().__init__()
        self._stay = Toggle("stay signed in on this machine", id="stay") if may_stay else None
        self._username = FormField(
            "User", value=username, why_not=lambda v: None if v else "who are you?", id="username"
        )
        self._password = FormField(
            "Password", secret=True, why_not=lambda v: None if v else "the password is needed", id="password"
        )

    def fields(self) -> Sequence[FormField]:
        return [self._username, self._password]

    def switches(self) -> Sequence[Toggle]:
        return [self._stay] if self._stay else []

    def sent(self) -> EntryForm.Sent:
        return self.Sent(self._username.value, self._password.value, stay=bool(self._stay and self._stay.value))

    def refused(self) -> None:
        """Wrong: the password is typed again."""
        self._password.value = ""
        self._password.widget.focus()


class FirstRunForm(EntryForm):
    """The first administrator: name, password twice, and the one-time token that proves access to the server."""

    button = "Create administrator"
    lead = "No account yet: create the first administrator."

    def __init__(self, setup_token: str = "") -> None:
        super().__init__()
        self._offered = setup_token
        self._username = FormField("User", value="admin", why_not=why_not_username, id="username")
        self._password = FormField(
            "Password", secret=True, advice=ADVICE, why_not=self._why_not_password, id="password"
        )
        self._again = FormField("Once more", secret=True, why_not=self._why_not_again, id="again")
        self._token = FormField(
            "Setup token",
            value=setup_token,
            advice=(
                "read from the server's data directory"
                if setup_token
                else "in the file setup-token of its data directory"
            ),
            why_not=lambda v: None if v.strip() else "the setup token is needed",
            id="setup-token",
        )

    def fields(self) -> Sequence[FormField]:
        return [self._username, self._password, self._again, self._token]

    def offer(self, setup_token: str) -> None:
        """The token that the server gives out now, unless another was typed."""
        if self._token.value == self._offered:
            self._offered = self._token.value = setup_token

    def sent(self) -> EntryForm.Sent:
        return self.Sent(self._username.value, self._password.value, self._token.value.strip())

    def _why_not_password(self, password: str) -> str | None:
        return why_not_password(password, self._username.value)

    def _why_not_again(self, again: str) -> str | None:
        return None if again == self._password.value else "this is not the same password"

    @on(Input.Changed, "#password Input")
    def _strength(self) -> None:
        """Live advice: how far the password is from what is asked."""
        password = self._password.value
        if not password:
            self._password.advise(ADVICE)
        elif len(password) < MIN_PASSWORD:
            self._password.advise(f"{len(password)} of {MIN_PASSWORD} characters")
        else:
            refused = why_not_password(password, self._username.value)
            self._password.advise(refused or f"{len(password)} characters: good")
