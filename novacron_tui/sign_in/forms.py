"""The forms of the sign-in screen: signing in, and the ways to an account: the first administrator, an invitation, a
reset password, open registration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.message import Message
from textual.widgets import Input

from novacron_core.api import access
from novacron_core.api.base import Request
from novacron_core.api.endpoint import Endpoint
from novacron_core.values.names import MIN_PASSWORD, why_not_password, why_not_username
from novacron_tui.sign_in.ways import INVITATION, REGISTER, RESET, SIGN_IN, Way
from novacron_tui.widgets.field import FormField
from novacron_tui.widgets.form import Fields
from novacron_tui.widgets.text_bar import Piece, TextBar
from novacron_tui.widgets.toggle import Toggle

ADVICE = f"At least {MIN_PASSWORD} characters; three or four random words work well"

CODE_ADVICE = "Six digits of your authenticator app, or a recovery code"
FirstStep = tuple[Endpoint[Any, Any, Any], Request]
"""What is called before signing in, and its body."""


class EntryForm(Fields):
    """A form of the sign-in screen. `ways` are the other forms that a key leads to, `done` says that the call before
    signing in has succeeded."""

    DEFAULT_CSS = """
    EntryForm .ways { margin-top: 1; }
    """
    PASTED_KEYS = True
    """See TypeAhead: a user and a password may be pasted together."""
    progress = "Sending…"
    done = ""
    ways: Sequence[Way] = ()

    @dataclass
    class Sent(Message):
        """The form was submitted and its fields are valid. `first` is called before signing in."""

        username: str
        password: str
        first: FirstStep | None = None
        stay: bool = False
        totp: str = ""

    def compose(self) -> ComposeResult:
        yield from super().compose()
        if others := [way for way in self.ways if way is not SIGN_IN]:  # the key line names that one
            line = TextBar(id="ways")
            line.add_class("ways")
            pieces: list[Piece] = []
            for way in others:
                gap = "   " if pieces else ""
                pieces += [Piece(f"{gap}{way.key}", "key", 0, way.name), Piece(f" {way.label}", "quiet", 0, way.name)]
            line.show(pieces)
            yield line

    @on(Fields.Submitted)
    def _send(self) -> None:
        self.post_message(self.sent())

    def sent(self) -> Sent:
        raise NotImplementedError


class SignInForm(EntryForm):
    """User name and password; with `may_stay` also whether to save the session. The field for a code appears when the
    server asks for one, which it does only after the right password."""

    progress = "Signing in…"

    def __init__(
        self, username: str = "", *, password: str = "", may_stay: bool = False, ways: Sequence[Way] = ()
    ) -> None:
        self._stay = Toggle("stay signed in on this machine", id="stay") if may_stay else None
        self.ways = ways
        fields = {
            "username": FormField("User", value=username, why_not=lambda v: None if v else "Enter a user name"),
            "password": FormField(
                "Password", value=password, secret=True, why_not=lambda v: None if v else "Enter your password"
            ),
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


class NewPasswordForm(EntryForm):
    """A form with a new password, typed twice. The password's field in the request is `name`."""

    DEFAULT_CSS = """
    NewPasswordForm FormField Label { width: 16; }
    NewPasswordForm FormField .below { margin-left: 16; }
    """

    def __init__(
        self,
        before: Mapping[str, FormField],
        verb: str,
        lead: str,
        *,
        name: str = "password",
        after: Mapping[str, FormField] | None = None,
    ) -> None:
        self._password = FormField(
            "Password", secret=True, advice=ADVICE, why_not=self._why_not_password, id="password"
        )
        fields = {
            **before,
            name: self._password,
            "again": FormField("Repeat password", secret=True, why_not=self._why_not_repeat),
            **(after or {}),
        }
        super().__init__(fields, verb, intro=[[Piece(lead, "quiet")]])

    @property
    def _username(self) -> str:
        return self.fields["username"].value.strip()

    def _why_not_password(self, password: str) -> str | None:
        return why_not_password(password, self._username)

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
            refused = why_not_password(password, self._username)
            self._password.show_advice(refused or f"{len(password)} characters: good")


class FirstRunForm(NewPasswordForm):
    """The first administrator: name, password twice, and the one-time token that proves access to the server
    machine."""

    progress = "Creating the administrator…"
    done = "The administrator is created"

    def __init__(self, setup_token: str = "") -> None:
        self._offered = setup_token
        token_advice = (
            "Read from the server's data directory"
            if setup_token
            else "Read the file setup-token in the server's data directory"
        )
        token = FormField(
            "Setup token", value=setup_token, advice=token_advice,
            why_not=lambda v: None if v.strip() else "Enter the setup token",
        )  # fmt: skip
        super().__init__(
            {"username": FormField("User", value="admin", why_not=why_not_username)},
            "Create administrator",
            "No account yet: create the first administrator.",
            after={"setup_token": token},
        )

    def offer(self, setup_token: str) -> None:
        """Fill in the current setup token, unless another one was typed."""
        field = self.fields["setup_token"]
        if field.value == self._offered:
            self._offered = field.value = setup_token

    def sent(self) -> EntryForm.Sent:
        name, password = self.fields["username"].value, self._password.value
        body = access.Register(username=name, password=password, setup_token=self.values()["setup_token"])
        return self.Sent(name, password, (access.REGISTER, body))


class InvitationForm(NewPasswordForm):
    """Takes an invitation up: its code makes an account."""

    progress = "Creating your account…"
    done = "Your account is created"
    ways = (SIGN_IN,)

    def __init__(self, username: str = "") -> None:
        super().__init__(
            {
                "code": _code_field("Invitation"),
                "username": FormField("User", value=username, why_not=why_not_username),
            },
            "Create account",
            "The code of an invitation makes an account for you.",
            after={"email": _email_field()},
        )

    def sent(self) -> EntryForm.Sent:
        values = self.values()
        body = access.AcceptInvitation(
            code=values["code"], username=values["username"], password=self._password.value, email=values["email"]
        )
        return self.Sent(body.username, body.password, (access.ACCEPT_INVITATION, body))


class ResetForm(NewPasswordForm):
    """Sets a new password with the code that an administrator or owner has made."""

    progress = "Setting your new password…"
    done = "Your new password is set"
    ways = (SIGN_IN,)

    def __init__(self, username: str = "") -> None:
        user = FormField("User", value=username, why_not=lambda v: None if v.strip() else "Enter your user name")
        super().__init__(
            {"username": user, "code": _code_field("Code")},
            "Set password",
            "An administrator or the owner of your tenant makes the code.",
            name="new_password",
        )

    def sent(self) -> EntryForm.Sent:
        values = self.values()
        body = access.PasswordReset(username=values["username"], code=values["code"], new_password=self._password.value)
        return self.Sent(body.username, body.new_password, (access.RESET_PASSWORD, body))


class RegisterForm(NewPasswordForm):
    """An account of one's own, where the server lets everybody create one."""

    progress = "Creating your account…"
    done = "Your account is created"
    ways = (SIGN_IN,)

    def __init__(self, username: str = "") -> None:
        super().__init__(
            {"username": FormField("User", value=username, why_not=why_not_username)},
            "Create account",
            "Everybody may create an account here. It may read until somebody gives it another role.",
            after={"email": _email_field()},
        )

    def sent(self) -> EntryForm.Sent:
        values = self.values()
        body = access.Register(username=values["username"], password=self._password.value, email=values["email"])
        return self.Sent(body.username, body.password, (access.REGISTER, body))


FORMS: Mapping[str, type[InvitationForm] | type[ResetForm] | type[RegisterForm]] = {
    INVITATION.name: InvitationForm,
    RESET.name: ResetForm,
    REGISTER.name: RegisterForm,
}
"""The forms of the ways in, by their names."""


def _code_field(label: str) -> FormField:
    return FormField(
        label,
        advice="Groups of letters and digits",
        why_not=lambda v: None if v.strip() else "Enter the code",
    )


def _email_field() -> FormField:
    return FormField("E-mail", advice="Optional")
