"""Sets a second factor up in dialogs. They run before the console as well as in it, so they use no session of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, TypeVar

from textual.screen import ModalScreen

from novacron_core.api import access, second_factor
from novacron_core.api.access import User
from novacron_core.api.second_factor import RecoveryCodes, TotpSecret
from novacron_core.errors import NovaCronError
from novacron_core.values.roles import SET_UP_ONLY
from novacron_tui.second_factor.scan_form import ScanForm, refused_by
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.widgets.field import FormField
from novacron_tui.widgets.form import Form, Values
from novacron_tui.widgets.shown_once import ShownOnce
from novacron_tui.widgets.text_bar import Piece

if TYPE_CHECKING:  # the client imports httpx and websockets: not before the first paint
    from novacron_core.client import Client

D = TypeVar("D")
_ADMITTED_S = 5.0
_LOOK_EVERY_S = 0.25
_PER_LINE = 2


class ShowsDialogs(Protocol):
    """A screen that shows a dialog and waits for its result."""

    async def show_dialog(self, dialog: ModalScreen[D]) -> D | None: ...


async def set_up(
    shows: ShowsDialogs, client: Client, username: str, *, password: str = "", ascii_only: bool = False
) -> bool:
    """Set the second factor up; whether it is on. Without `password` it is asked for. Raises NovaCronError when
    `password` is refused."""
    begun: TotpSecret | None
    if password:
        begun = await client.call(second_factor.BEGIN, body=second_factor.BeginTotp(password=password))
    else:
        begun = await shows.show_dialog(_password_form(client, username))
    if begun is None:
        return False
    made = await shows.show_dialog(ScanForm(client, begun, ascii_only=ascii_only))
    if made is None:
        return False
    await shows.show_dialog(recovery_codes(made))
    return True


async def admitted(client: Client) -> User:
    """The user once the server has noticed the new second factor, within two seconds. Raises NovaCronError."""
    user = (await client.call(access.VALIDATE)).user
    for _ in range(round(_ADMITTED_S / _LOOK_EVERY_S)):
        if user.limits is None or user.limits - SET_UP_ONLY:
            break
        await asyncio.sleep(_LOOK_EVERY_S)
        user = (await client.call(access.VALIDATE)).user
    return user


def recovery_codes(made: RecoveryCodes) -> ShownOnce:
    """The codes, each of which signs in once."""
    codes = [one_line(code) for code in made.recovery_codes]
    rows = [codes[begin : begin + _PER_LINE] for begin in range(0, len(codes), _PER_LINE)]
    lines = [[Piece("     ".join(row), "strong")] for row in rows]
    return ShownOnce(
        "Your second factor is on",
        [
            [Piece("These recovery codes sign you in without your phone, each once.")],
            [Piece("Keep them where only you can read them.", "quiet")],
            [],
            *lines,
        ],
        "\n".join(codes),
    )


def _password_form(client: Client, username: str) -> Form[TotpSecret]:
    fields = {
        "password": FormField("Password", secret=True, why_not=lambda text: None if text else "Enter your password")
    }

    async def submit(_: Values, _key: str) -> TotpSecret:
        body = second_factor.BeginTotp(password=fields["password"].value)
        try:
            return await client.call(second_factor.BEGIN, body=body)
        except NovaCronError as e:
            raise refused_by(e) from e

    intro = [[Piece(one_line(username), "strong"), Piece(": signing in will take your password and a code of an authenticator app on your phone.", "quiet")]]  # fmt: skip
    return Form("Set up a second factor", fields, "Continue", submit, intro)
