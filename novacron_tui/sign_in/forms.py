"""The two sign-in forms: create the first administrator, and sign in."""

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

ADVICE = f"At least {MIN_PASSWORD} characters; three or four random words work well"


class EntryForm(Vertical):
    """A form with fields, a message line and one button. Enter goes to the next field, and from the last one
    submits."""

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
    progress = "Sending…"
    lead = ""

    @dataclass
    class Sent(Message):
        """The form was submitted and its fields are valid."""

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
        self.message_line = Static("", classes="said")
        yield self.message_line
        with Horizontal(classes="buttons"):
            yield Button(self.button, id="send", compact=True)

    def start(self) -> None:
        """Focus the first empty field."""
        fields = list(self.query(FormField))
        next((field for field in fields if not field.value), fields[0]).widget.focus()

    def say(self, text: str, tone: str = "bad") -> None:
        """Show a message below the fields."""
        self.message_line.update(content([Piece(text, tone)]))

    @property
    def held(self) -> bool:
        """Whether submitting is disabled: a request is in flight, or the rate limit was hit."""
        return bool(self.query("#send")) and self.query_one("#send", Button).disabled

    def hold(self, held: bool) -> None:
        """Disable or enable submitting."""
        self.query_one("#send", Button).disabled = held

    def show_field_errors(self, errors: Sequence[FieldError]) -> bool:
        """Show the server's field errors at their fields and focus the first; True when every error has a field."""
        marked = []
        for error in errors:
            for field in self.query(FormField):
                if field.id == error.field.replace("_", "-"):
                    field.show_error(error.message)
                    marked.append(field)
        if marked:
            marked[0].widget.focus()
        return bool(errors) and len(marked) == len(errors)

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
        """Check all fields and submit the form, or focus the first invalid field."""
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
    """User name and password; with `may_stay` also whether to save the session."""

    button = "Sign in"
    progress = "Signing in…"

    def __init__(self, username: str = "", *, may_stay: bool = False) -> None:
        super().__init__()
        self._stay = Toggle("stay signed in on this machine", id="stay") if may_stay else None
        self._username = FormField(
            "User", value=username, why_not=lambda v: None if v else "Enter a user name", id="username"
        )
        self._password = FormField(
            "Password", secret=True, why_not=lambda v: None if v else "Enter your password", id="password"
        )

    def fields(self) -> Sequence[FormField]:
        return [self._username, self._password]

    def switches(self) -> Sequence[Toggle]:
        return [self._stay] if self._stay else []

    def sent(self) -> EntryForm.Sent:
        return self.Sent(self._username.value, self._password.value, stay=bool(self._stay and self._stay.value))

    def refused(self) -> None:
        """Clear the rejected password."""
        self._password.value = ""
        self._password.widget.focus()


class FirstRunForm(EntryForm):
    """The first administrator: name, password twice, and the one-time token that proves access to the server
    machine."""

    DEFAULT_CSS = """
    FirstRunForm FormField Label { width: 16; }
    FirstRunForm FormField .below { margin-left: 16; }
    """
    button = "Create administrator"
    progress = "Creating the administrator…"
    lead = "No account yet: create the first administrator."

    def __init__(self, setup_token: str = "") -> None:
        super().__init__()
        self._offered = setup_token
        self._username = FormField("User", value="admin", why_not=why_not_username, id="username")
        self._password = FormField(
            "Password", secret=True, advice=ADVICE, why_not=self._why_not_password, id="password"
        )
        self._repeat = FormField("Repeat password", secret=True, why_not=self._why_not_repeat, id="again")
        self._token = FormField(
            "Setup token",
            value=setup_token,
            advice=(
                "Read from the server's data directory"
                if setup_token
                else "Read the file setup-token in the server's data directory"
            ),
            why_not=lambda v: None if v.strip() else "Enter the setup token",
            id="setup-token",
        )

    def fields(self) -> Sequence[FormField]:
        return [self._username, self._password, self._repeat, self._token]

    def offer(self, setup_token: str) -> None:
        """Fill in the current setup token, unless another one was typed."""
        if self._token.value == self._offered:
            self._offered = self._token.value = setup_token

    def sent(self) -> EntryForm.Sent:
        return self.Sent(self._username.value, self._password.value, self._token.value.strip())

    def _why_not_password(self, password: str) -> str | None:
        return why_not_password(password, self._username.value)

    def _why_not_repeat(self, repeated: str) -> str | None:
        return None if repeated == self._password.value else "The passwords do not match"

    @on(Input.Changed, "#password Input")
    def _show_password_advice(self) -> None:
        """Show while typing whether the password meets the rules."""
        password = self._password.value
        if not password:
            self._password.show_advice(ADVICE)
        elif len(password) < MIN_PASSWORD:
            self._password.show_advice(f"{len(password)} of {MIN_PASSWORD} characters")
        else:
            refused = why_not_password(password, self._username.value)
            self._password.show_advice(refused or f"{len(password)} characters: good")
