"""The ways to an account on the sign-in screen: an invitation, a reset password, open registration, a second factor."""

from __future__ import annotations

import json
from typing import Any

import httpx
import msgspec
import pytest

from novacron_core.api import access, health
from novacron_core.api.problem import FieldError
from novacron_core.client import Client, Credentials
from novacron_core.values.roles import SET_UP_ONLY
from novacron_tui.app import Console
from novacron_tui.second_factor.scan_form import ScanForm
from novacron_tui.servers.server_ref import ServerRef
from novacron_tui.widgets.shown_once import ShownOnce
from tests.support.console.account_world import CODE, OLGA, RECOVERY, Account
from tests.support.console.looking import fill, react, text, until
from tests.support.console.wire import Wire, console, ok, refuse
from tests.support.console.world import PASSWORD, VIEWER

SIZE = (80, 24)
INVITED = "AB12C-DE34F-GH56J-KL78M-NP90Q"
PLACE = ServerRef("http://127.0.0.1:8090", user="ada")


def at_home(app: Console) -> bool:
    return type(app.screen).__name__ == "VMListScreen"


def has_form(app: Console, name: str) -> bool:
    return bool(app.screen.query(f"{name} Input")) and app.screen.focused is not None


def bodies(wire: Wire, path: str) -> list[Any]:
    return [json.loads(sent.content) for sent in wire.asked("POST", path)]


def field(app: Console, name: str) -> str:
    form: Any = app.screen.query_one("EntryForm")
    return str(form.fields[name].value)


async def open_form(pilot: Any, app: Console, key: str, name: str) -> None:
    await until(pilot, lambda: has_form(app, "SignInForm"))
    await pilot.press(key)
    await until(pilot, lambda: has_form(app, name), name)


async def test_invitation_makes_an_account_and_signs_in() -> None:
    wire = Wire(routes={"POST /auth/invitation": lambda _: ok(access.Registered(user=VIEWER), 201)})
    app = console(wire, token="")
    async with app.run_test(size=SIZE) as pilot:
        await open_form(pilot, app, "f2", "InvitationForm")
        await fill(pilot, INVITED, "bob", PASSWORD, PASSWORD, "bob@example.org")
        await until(pilot, lambda: at_home(app), "home")
        assert bodies(wire, "/auth/invitation") == [
            {"code": INVITED, "username": "bob", "password": PASSWORD, "email": "bob@example.org"}
        ]
        assert bodies(wire, "/auth/login") == [{"username": "bob", "password": PASSWORD}]


async def test_refused_invitation_says_why_and_loses_nothing() -> None:
    taken = FieldError(field="username", message="This user name is taken. Choose another one.")
    answers = [
        refuse(403, "forbidden", "The code is wrong, used up or expired"),
        refuse(409, "conflict", taken.message, [taken]),
    ]
    wire = Wire(routes={"POST /auth/invitation": lambda _: answers.pop(0)})
    app = console(wire, token="")
    async with app.run_test(size=SIZE) as pilot:
        await open_form(pilot, app, "f2", "InvitationForm")
        await fill(pilot, INVITED, "bob", PASSWORD, "another")
        await until(pilot, lambda: "The passwords do not match" in text(app))
        await pilot.press("shift+tab")
        await fill(pilot, PASSWORD, "")
        await until(pilot, lambda: "The code is wrong, used up or expired" in text(app))
        await pilot.press("ctrl+end", "enter")
        await until(pilot, lambda: "This user name is taken" in text(app))
        assert app.screen.query_one("#username").has_pseudo_class("focus-within"), "the cursor is where the error is"
        kept = [field(app, name) for name in ("code", "username", "password", "again")]
        assert kept == [INVITED, "bob", PASSWORD, PASSWORD]
        assert not bodies(wire, "/auth/login")


async def test_password_is_reset_with_a_code_and_the_user_name_goes_along() -> None:
    wire = Wire()
    app = console(wire, token="", place=PLACE)
    async with app.run_test(size=SIZE) as pilot:
        await open_form(pilot, app, "f3", "ResetForm")
        assert field(app, "username") == "ada"
        await pilot.press("escape")
        await until(pilot, lambda: has_form(app, "SignInForm"))
        await open_form(pilot, app, "f3", "ResetForm")
        await fill(pilot, INVITED, PASSWORD, PASSWORD)
        await until(pilot, lambda: at_home(app), "home")
        assert bodies(wire, "/auth/password-reset") == [{"username": "ada", "code": INVITED, "new_password": PASSWORD}]


async def test_code_of_the_app_is_asked_after_a_reset_and_the_reset_is_not_repeated() -> None:
    def login(request: httpx.Request) -> httpx.Response:
        if json.loads(request.content).get("totp") == CODE:
            return ok(access.Tokens(token="t", expires_in=900, refresh_token="r", user=VIEWER))
        return refuse(401, "totp_required", "Enter a code")

    wire = Wire(routes={"POST /auth/login": login})
    app = console(wire, token="", place=PLACE)
    async with app.run_test(size=SIZE) as pilot:
        await open_form(pilot, app, "f3", "ResetForm")
        await fill(pilot, INVITED, PASSWORD, PASSWORD)
        await until(pilot, lambda: bool(app.screen.query("#totp Input:focus")), "the field for the code")
        assert "Your new password is set. Enter a code" in text(app)
        await fill(pilot, CODE)
        await until(pilot, lambda: at_home(app), "home")
        assert len(bodies(wire, "/auth/password-reset")) == 1


def open_registration(request: httpx.Request) -> httpx.Response:
    return ok(msgspec.structs.replace(Wire()._about(), registration="open"))


async def test_account_is_created_where_everybody_may_and_not_offered_elsewhere() -> None:
    wire = Wire(user=VIEWER, routes={"GET /api/info": open_registration})
    app = console(wire, token="")
    async with app.run_test(size=SIZE) as pilot:
        await open_form(pilot, app, "f4", "RegisterForm")
        await fill(pilot, "vic", PASSWORD, PASSWORD, "")
        await until(pilot, lambda: at_home(app), "home")
        assert bodies(wire, "/auth/register") == [{"username": "vic", "password": PASSWORD}]
    assert isinstance(Wire()._about(), health.ServerInfo)
    app = console(Wire(), token="")
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: has_form(app, "SignInForm"))
        assert "f2 invitation code   f3 reset password" in text(app)
        assert "new account" not in text(app)
        await pilot.press("f4")
        await pilot.pause()
        assert has_form(app, "SignInForm")


def requiring(account: Account) -> Wire:
    """The tenant of olga requires a second factor, and admits her a moment after she has one."""
    account.user = msgspec.structs.replace(OLGA, scope=sorted(SET_UP_ONLY))
    looks: list[int] = []

    def validate(_: httpx.Request) -> httpx.Response:
        looks.append(1)
        user = OLGA if account.factor.enabled and len(looks) > 2 else account.user
        return ok(
            access.Validation(valid=True, user=user, expires_at=OLGA.created_at or Account().sessions[0].expires_at)
        )

    return account.wire(**{"GET /auth/validate": validate})


async def test_tenant_that_requires_a_second_factor_leads_into_setting_it_up() -> None:
    account = Account()
    wire = requiring(account)
    app = console(wire, token="")
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: has_form(app, "SignInForm"))
        await fill(pilot, "olga", PASSWORD)
        await until(pilot, lambda: isinstance(app.screen, ScanForm), "the password is not asked for again")
        await react(pilot)
        await fill(pilot, CODE)
        await until(pilot, lambda: isinstance(app.screen, ShownOnce))
        assert RECOVERY[-1] in text(app)
        await react(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: at_home(app), "home")
        assert app.session is not None
        assert app.session.user.scope is None


async def test_leaving_the_set_up_signs_out_and_stays_outside() -> None:
    wire = requiring(Account())
    app = console(wire, token="")
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: has_form(app, "SignInForm"))
        await fill(pilot, "olga", PASSWORD)
        await until(pilot, lambda: isinstance(app.screen, ScanForm))
        await react(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: "the tenant default requires a second factor" in text(app))
        assert (field(app, "username"), field(app, "password")) == ("olga", PASSWORD)
        assert len(wire.asked("POST", "/auth/logout")) == 1


@pytest.mark.parametrize("kept", [True, False], ids=["saved-session", "given-token"])
async def test_session_that_may_only_set_up_goes_to_the_form(kept: bool) -> None:
    wire = requiring(Account())
    app = console(wire, token="" if kept else "a-token")
    if kept:
        app._connect = lambda place: Client(place.url, Credentials("t", refresh_token="r"), transport=wire)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: has_form(app, "SignInForm") and "requires a second factor" in text(app))
        assert field(app, "username") == "olga"
