"""The two sign-in forms: create the first administrator, and sign in."""

from __future__ import annotations

from dataclasses import dataclass

from textual import on
from textual.message import Message
from textual.widgets import Input

from novacron_core.values.names import MIN_PASSWORD, why_not_password, why_not_username
from novacron_tui.widgets.field import FormField
from novacron_tui.widgets.form import Fields
from novacron_tui.widgets.text_bar import Piece
from novacron_tui.widgets.toggle import Toggle

ADVICE = f"At least {MIN_PASSWORD} characters; three or four random words work well"

CODE_ADVICE = "Six digits of your authenticator app, or a recovery code"


class EntryForm(Fields):
    """A form of the sign-in screen."""

    PASTED_KEYS = True
    """See TypeAhead: a user and a password may be pasted together."""
    progress = "Sending…"

    @dataclass
    class Sent(Message):
        """The form was submitted and its fields are valid."""

        username: str
        password: str
        setup_token: str = ""
        stay: bool = False
        totp: str = ""

    @on(Fields.Submitted)
    def _send(self) -> None:
        self.post_message(self.sent())

    def sent(self) -> Sent:
        raise NotImplementedError


class SignInForm(EntryForm):
    """User name and password; with `may_stay` also whether to save the session. The field for a code appears when the
    server asks for one, which it does only after the right password."""

    progress = "Signing in…"

    def __init__(self, username: str = "", *, may_stay: bool = False) -> None:
        self._stay = Toggle("stay signed in on this machine", id="stay") if may_stay else None
        fields = {
            "username": FormField("User", value=username, why_not=lambda v: None if v else "Enter a user name"),
            "password": FormField("Password", secret=True, why_not=lambda v: None if v else "Enter your password"),
        }
        super().__init__(fields, "Sign in", options=[self._stay] if self._stay else [])

    def sent(self) -> EntryForm.Sent:
        stay = bool(self._stay and self._stay.value)
        code = self.fields["totp"].value.strip() if "totp" in self.fields else ""
        return self.Sent(self.fields["username"].value, self.fields["password"].value, stay=stay, totp=code)

    async def ask_code(self) -> bool:
        """Show the field for a code, empty and focused. Returns whether it is new."""
        is_new = "totp" not in self.fields
        if is_new:
            self.fields["totp"] = FormField(
                "Code", advice=CODE_ADVICE, id="totp", why_not=lambda v: None if v.strip() else "Enter a code"
            )
            await self.mount(self.fields["totp"], after=self.fields["password"])
        self.fields["totp"].value = ""
        self.fields["totp"].widget.focus()
        return is_new

    def clear_password(self) -> None:
        """Clear the rejected password."""
        self.fields["password"].value = ""
        self.fields["password"].widget.focus()


class FirstRunForm(EntryForm):
    """The first administrator: name, password twice, and the one-time token that proves access to the server
    machine."""

    DEFAULT_CSS = """
    FirstRunForm FormField Label { width: 16; }
    FirstRunForm FormField .below { margin-left: 16; }
    """
    progress = "Creating the administrator…"

    def __init__(self, setup_token: str = "") -> None:
        self._offered = setup_token
        token_advice = (
            "Read from the server's data directory"
            if setup_token
            else "Read the file setup-token in the server's data directory"
        )
        self._password = FormField("Password", secret=True, advice=ADVICE, why_not=self._why_not_password)
        fields = {
            "username": FormField("User", value="admin", why_not=why_not_username),
            "password": self._password,
            "again": FormField("Repeat password", secret=True, why_not=self._why_not_repeat),
            "setup_token": FormField(
                "Setup token", value=setup_token, advice=token_advice,
                why_not=lambda v: None if v.strip() else "Enter the setup token",
            ),
        }  # fmt: skip
        lead = [Piece("No account yet: create the first administrator.", "quiet")]
        super().__init__(fields, "Create administrator", intro=[lead])

    def offer(self, setup_token: str) -> None:
        """Fill in the current setup token, unless another one was typed."""
        field = self.fields["setup_token"]
        if field.value == self._offered:
            self._offered = field.value = setup_token

    def sent(self) -> EntryForm.Sent:
        values = self.values()
        return self.Sent(self.fields["username"].value, self._password.value, values["setup_token"])

    def _why_not_password(self, password: str) -> str | None:
        return why_not_password(password, self.fields["username"].value)

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
            refused = why_not_password(password, self.fields["username"].value)
            self._password.show_advice(refused or f"{len(password)} characters: good")
