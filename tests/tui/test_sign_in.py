"""The doors: first run, signing in, and every reason for which one stays outside."""

from __future__ import annotations

import asyncio
import fcntl
import json
import time
from pathlib import Path

import httpx
import pytest

from novacron_core.api import access
from novacron_core.api.problem import FieldError
from novacron_core.client import Client, Credentials
from novacron_core.errors import Conflict, ServerUnreachable
from novacron_tui.app import Console
from novacron_tui.servers import profiles
from novacron_tui.servers.saved_session import SavedSessionFile
from novacron_tui.servers.server_ref import ServerRef
from novacron_tui.servers.shared_credentials import SharedCredentials
from novacron_tui.terminal import type_ahead
from tests.support.console.looking import fill, react, text, until
from tests.support.console.wire import Stream, Wire, console, ok, refuse
from tests.support.console.world import PASSWORD, VIEWER, fleet, inventory, live

SIZE = (80, 24)


def at_home(app: Console) -> bool:
    return type(app.screen).__name__ == "VMListScreen"


def has_form(app: Console, name: str) -> bool:
    return bool(app.screen.query(f"{name} Input")) and app.screen.focused is not None


@pytest.mark.parametrize("last", [["enter"], ["shift+tab", "ctrl+s"]])
async def test_sign_in_reaches_the_list(last: list[str]) -> None:
    wire = Wire()
    app = console(wire, token="")
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: has_form(app, "SignInForm"))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "Enter a user name" in text(app))
        await pilot.press(*"ada", "enter", *PASSWORD, *last)
        await until(pilot, lambda: at_home(app), "home")
        assert json.loads(wire.asked("POST", "/auth/login")[0].content) == {"username": "ada", "password": PASSWORD}


async def test_who_signed_in_last_types_only_the_password_and_is_remembered() -> None:
    wire, remembered = Wire(), list[str]()
    place = ServerRef("http://127.0.0.1:8090", user="ada", remember=remembered.append)
    app = console(wire, token="", place=place)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: has_form(app, "SignInForm"))
        await pilot.press(*PASSWORD, "enter")
        await until(pilot, lambda: at_home(app), "home")
        assert json.loads(wire.asked("POST", "/auth/login")[0].content) == {"username": "ada", "password": PASSWORD}
        assert remembered == ["ada"]


async def test_profile_that_another_process_writes_for_ever_stops_no_console(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another `novacron login` was suspended while it held the lock."""
    monkeypatch.setattr(profiles, "LOCK_S", 3.0)
    known = profiles.Profiles(tmp_path)
    prod = profiles.Profile("prod", "http://127.0.0.1:8090")
    known.remember(prod)
    place = ServerRef(prod.url, "prod", user="ada", remember=lambda user: known.remember(prod))
    kept = SavedSessionFile("prod", prod.url, tmp_path / "sessions")
    app = console(Wire(), token="", place=place)
    app._connect = lambda place: Client(place.url, SharedCredentials(kept), transport=Wire())
    waits: list[float] = []

    async def beat() -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.01)
            waits.append(time.monotonic() - began)

    with (tmp_path / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Conflict, match=r"another novacron process is writing .*profiles\.toml"):
            known.remember(prod)
        async with app.run_test(size=SIZE) as pilot:
            await until(pilot, lambda: has_form(app, "SignInForm"))
            beating = asyncio.create_task(beat())
            await pilot.press(*PASSWORD, "enter")
            await until(pilot, lambda: at_home(app), "home")
            beating.cancel()
    assert max(waits) < 2.5, "the keys were handled meanwhile"


async def test_a_wrong_password_is_said_and_typed_again() -> None:
    wire = Wire()
    app = console(wire, token="")
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: has_form(app, "SignInForm"))
        await fill(pilot, "ada", "wrong")
        await until(pilot, lambda: "wrong user name or password" in text(app), "the reason")
        await fill(pilot, PASSWORD)
        await until(pilot, lambda: at_home(app), "home")


def with_second_factor(request: httpx.Request) -> httpx.Response:
    """A server on which ada has a second factor, and its code is 123456 now."""
    sent = json.loads(request.content)
    if sent["password"] != PASSWORD:
        return refuse(401, "unauthenticated", "wrong user name or password")
    if sent.get("totp") != "123456":
        return refuse(401, "totp_required", "This code is wrong" if sent.get("totp") else "Enter a code")
    return ok(access.Tokens(token="t", expires_in=900, refresh_token="r", user=VIEWER))


async def test_code_is_asked_after_the_right_password_only() -> None:
    wire = Wire(routes={"POST /auth/login": with_second_factor})
    app = console(wire, token="")
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: has_form(app, "SignInForm"))
        await fill(pilot, "ada", "wrong")
        await until(pilot, lambda: "wrong user name or password" in text(app), "the reason")
        assert not app.screen.query("#totp")
        await fill(pilot, PASSWORD)
        await until(pilot, lambda: bool(app.screen.query("#totp Input:focus")), "the field for the code")
        assert "Six digits of your authenticator app" in text(app)
        await pilot.press("enter")
        await until(pilot, lambda: "Enter a code" in text(app), "it is required")
        await fill(pilot, "000000")
        await until(pilot, lambda: "This code is wrong" in text(app), "the reason")
        assert len(app.screen.query("#totp")) == 1
        await fill(pilot, "123456")
        await until(pilot, lambda: at_home(app), "home")
        bodies = [json.loads(sent.content) for sent in wire.asked("POST", "/auth/login")]
        assert [body.get("totp") for body in bodies] == [None, None, "000000", "123456"]
        assert bodies[-1]["password"] == PASSWORD


async def test_nothing_is_sent_while_a_field_is_empty() -> None:
    wire = Wire()
    app = console(wire, token="")
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: has_form(app, "SignInForm"))
        await pilot.press("tab", "enter")
        await until(pilot, lambda: "Enter a user name" in text(app))
        assert not wire.asked("POST", "/auth/login")


async def test_a_rate_limit_counts_down_and_holds_the_button() -> None:
    wire = Wire(routes={"POST /auth/login": lambda _: refuse(429, "rate_limited", "too many", retry_after_s=30.0)})
    app = console(wire, token="")
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: has_form(app, "SignInForm"))
        await fill(pilot, "ada", PASSWORD)
        await until(pilot, lambda: "Try again in 30 s" in text(app), "the seconds")
        await pilot.press("enter")
        assert len(wire.asked("POST", "/auth/login")) == 1


async def test_first_run_makes_the_administrator_and_goes_in() -> None:
    wire = Wire(setup_required=True)
    place = ServerRef("http://127.0.0.1:8090", setup_token=lambda: "one-time-token")
    app = console(wire, token="", place=place)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: has_form(app, "FirstRunForm"))
        await pilot.press(*"short")
        await until(pilot, lambda: "5 of 15 characters" in text(app), "live advice")
        await pilot.press("enter")
        await until(pilot, lambda: "Use at least 15 characters" in text(app), "the rule")
        await pilot.press("shift+tab")
        await fill(pilot, PASSWORD, "not the same")
        await until(pilot, lambda: "The passwords do not match" in text(app))
        await pilot.press("shift+tab")
        await fill(pilot, PASSWORD)
        await pilot.press("enter")
        await until(pilot, lambda: at_home(app), "home")
        sent = json.loads(wire.asked("POST", "/auth/register")[0].content)
        assert sent == {"username": "admin", "password": PASSWORD, "setup_token": "one-time-token"}


async def test_a_servers_field_error_stands_at_its_field() -> None:
    error = FieldError(field="setup_token", message="this token was used already")
    wire = Wire(
        setup_required=True,
        routes={"POST /auth/register": lambda _: refuse(422, "validation_failed", "not valid", [error])},
    )
    app = console(wire, token="", place=ServerRef("http://127.0.0.1:8090", setup_token=lambda: "old"))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: has_form(app, "FirstRunForm"))
        await fill(pilot, PASSWORD, PASSWORD)
        await pilot.press("enter")
        await until(pilot, lambda: "used already" in text(app))
        assert app.screen.query_one("#setup-token").has_class("-wrong")
        assert app.screen.query_one("#setup-token").has_pseudo_class("focus-within"), "the cursor is where the error is"


async def test_somebody_else_made_the_first_account_meanwhile() -> None:
    wire = Wire(setup_required=True)

    def taken(_: httpx.Request) -> httpx.Response:
        wire.setup_required = False
        return refuse(403, "forbidden", "this server has its first account already")

    wire.routes["POST /auth/register"] = taken
    app = console(wire, token="", place=ServerRef("http://127.0.0.1:8090", setup_token=lambda: "old"))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: has_form(app, "FirstRunForm"))
        await fill(pilot, PASSWORD, PASSWORD)
        await pilot.press("enter")
        await until(pilot, lambda: has_form(app, "SignInForm") and "first account already" in text(app))


async def test_unreachable_says_why_and_a_key_tries_again() -> None:
    tries = 0

    async def open_server() -> ServerRef:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise ServerUnreachable("the server stopped while starting: port 8090 is taken")
        return ServerRef("http://127.0.0.1:8090")

    app = console(Wire(), token="")
    app._open_server = open_server
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "port 8090 is taken" in text(app))
        await pilot.press("ctrl+r")
        await until(pilot, lambda: has_form(app, "SignInForm"))


async def test_a_token_goes_straight_in_and_a_bad_one_to_the_form() -> None:
    app = console(Wire(user=VIEWER))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: at_home(app))
        assert app.session is not None
        assert app.session.user == VIEWER
    wire = Wire(routes={"GET /auth/validate": lambda _: refuse(401, "unauthenticated", "it has expired")})
    app = console(wire)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: has_form(app, "SignInForm") and "it has expired" in text(app))


async def test_keys_of_a_password_typed_by_habit_do_nothing_when_a_saved_session_signs_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(type_ahead, "HABIT_S", 3.0)
    wire = Wire()
    app = console(wire, token="")
    app._connect = lambda place: Client(place.url, Credentials("t", refresh_token="r"), transport=wire)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: at_home(app))
        await pilot.press(*"xpD?c", "enter")
        await until(pilot, lambda: "Already signed in: keys are ignored" in text(app))
        assert at_home(app)
        assert not [call for call in wire.calls if call.url.path.startswith("/api/vm/")]
        monkeypatch.setattr(type_ahead, "HABIT_S", 0.0)
        await asyncio.sleep(3.1)
        await pilot.press("?")
        await until(pilot, lambda: not at_home(app))


async def test_the_session_ends_and_everything_is_still_there_after_signing_in_again() -> None:
    from novacron_core.errors import Unauthenticated

    stream = Stream(live(), inventory(fleet()))
    app = console(Wire(), stream)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: at_home(app) and app.session is not None and app.session.store.loaded)
        await pilot.press("enter")
        await until(pilot, lambda: type(app.screen).__name__ == "VMPageScreen")
        stream.say(Unauthenticated("your session has ended: sign in again"))
        await until(pilot, lambda: has_form(app, "SignInForm") and "session has ended" in text(app))
        stream.say(live())
        await react(pilot)
        await fill(pilot, PASSWORD)
        await until(pilot, lambda: type(app.screen).__name__ == "VMPageScreen", "back where it was")
        await until(pilot, lambda: stream.opened == [None, 10], "asked only for what was missed")


async def test_an_incompatible_server_says_so() -> None:
    wire = Wire(routes={"GET /api/info": lambda _: httpx.Response(200, content=b'{"hello": 1}')})
    app = console(wire, token="")
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "cannot be decoded" in text(app))


async def test_leaving_ends_the_session_that_the_form_began_and_no_other() -> None:
    wire = Wire()
    app = console(wire, token="")
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: has_form(app, "SignInForm"))
        await fill(pilot, "ada", PASSWORD)
        await until(pilot, lambda: at_home(app))
        await pilot.press("q")
    assert len(wire.asked("POST", "/auth/logout")) == 1
    given = Wire()
    app = console(given)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: at_home(app))
        await pilot.press("q")
    assert given.asked("POST", "/auth/logout") == []
