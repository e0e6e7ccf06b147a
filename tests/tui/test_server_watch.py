"""A server that goes away: kept awake before the doors, opened again by itself, followed to its other address."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from textual.widgets import Input

from novacron_core.client import Disconnected
from novacron_core.errors import ServerUnreachable
from novacron_tui import app as app_module
from novacron_tui.app import Console
from novacron_tui.servers.server_ref import ServerRef
from novacron_tui.sign_in import screen as sign_in_module
from tests.support.console.looking import fill, line_text, text, until
from tests.support.console.wire import Stream, Wire, console
from tests.support.console.world import PASSWORD, fleet, inventory, live

SIZE = (100, 32)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_in_module, "CHECK_EVERY_S", 0.05)
    monkeypatch.setattr(app_module, "_CHECK_EVERY_S", 0.05)
    monkeypatch.setattr(app_module, "_REOPEN_AFTER_S", 0.2)


@dataclass
class Moving(Wire):
    """A server on a port; nothing answers on any other."""

    port: int = 9001
    opened: list[int] = field(default_factory=list)
    trouble: str = ""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.port != self.port:
            raise httpx.ConnectError("connection refused")
        return await super().handle_async_request(request)

    async def open_server(self) -> ServerRef:
        """As the bundled server: started when it is not there, on a port of its own."""
        if self.trouble:
            raise ServerUnreachable(self.trouble)
        if self.port == 0:
            self.port = 9002
        self.opened.append(self.port)
        return ServerRef(f"http://127.0.0.1:{self.port}", setup_token=lambda: f"token-{self.port}")

    def console(self, stream: Stream | None = None, **options: Any) -> Console:
        app = console(self, stream, **options)
        app._open_server = self.open_server
        return app


def has_form(app: Console, name: str) -> bool:
    return bool(app.screen.query(f"{name} Input")) and app.screen.focused is not None


def at_home(app: Console) -> bool:
    return type(app.screen).__name__ == "VMListScreen" and app.session is not None and app.session.store.loaded


async def test_a_server_is_kept_awake_while_the_form_stands_and_not_after() -> None:
    wire = Moving()
    app = wire.console(token="")
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: has_form(app, "SignInForm"))
        await until(pilot, lambda: len(wire.asked("GET", "/livez")) >= 3, "asked again and again")
        await fill(pilot, "ann", PASSWORD)
        await until(pilot, lambda: at_home(app))
        asked = len(wire.asked("GET", "/livez"))
        await pilot.pause(0.3)
        assert len(wire.asked("GET", "/livez")) <= asked + 1
        assert wire.opened == [9001], "one that answers is not opened again"


async def test_a_server_that_went_while_somebody_typed_is_opened_again_and_nothing_is_lost() -> None:
    wire = Moving()
    app = wire.console(token="")
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: has_form(app, "SignInForm"))
        await pilot.press(*"ann")
        wire.port = 0
        await until(pilot, lambda: "Server is responding again" in text(app), deadline_s=15)
        assert app.screen.query_one("#username Input", Input).value == "ann"
        assert "http://127.0.0.1:9002" in text(app)
        await pilot.press("enter", *PASSWORD, "enter")
        await until(pilot, lambda: at_home(app), "home")
        assert app.session is not None
        assert app.session.server.url == app.session.client.base_url == "http://127.0.0.1:9002"


async def test_the_first_run_form_offers_the_token_of_the_server_that_is_there_now() -> None:
    wire = Moving(setup_required=True)
    app = wire.console(token="")
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: has_form(app, "FirstRunForm"))
        assert app.screen.query_one("#setup-token Input", Input).value == "token-9001"
        wire.port = 0
        await until(
            pilot, lambda: app.screen.query_one("#setup-token Input", Input).value == "token-9002", deadline_s=15
        )


async def test_what_cannot_be_opened_is_said_and_tried_again() -> None:
    wire = Moving()
    app = wire.console(token="")
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: has_form(app, "SignInForm"))
        wire.port, wire.trouble = 0, "the disk is full"
        await until(pilot, lambda: "the disk is full. Retrying automatically" in text(app), deadline_s=15)
        wire.trouble = ""
        await until(pilot, lambda: "Server is responding again" in text(app), deadline_s=15)


async def test_signed_in_a_server_that_is_gone_is_opened_again_and_followed() -> None:
    wire = Moving()
    stream = Stream(live(), inventory(fleet()))
    app = wire.console(stream)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: at_home(app))
        assert app.session is not None
        client = app.session.client
        wire.port, wire.trouble = 0, "the disk is full"
        stream.say(Disconnected("connection refused", 15.0))
        await until(pilot, lambda: "the disk is full" in line_text(app, "status"))
        wire.trouble = ""
        await until(pilot, lambda: stream.opened == [None, 10], "at once, and only for what was missed")
        assert client.base_url == "http://127.0.0.1:9002"
        stream.say(live())
        await until(pilot, lambda: "LIVE" in line_text(app, "top"))
        await pilot.press("y")
        opened = len(wire.opened)
        await pilot.pause(0.5)
        assert len(wire.opened) == opened, "nothing is opened while the line is there"


async def test_a_place_that_only_has_a_url_is_left_to_the_stream() -> None:
    stream = Stream(live(), inventory(fleet()))
    app = console(Wire(), stream)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: at_home(app))
        stream.say(Disconnected("connection refused", 15.0))
        await until(pilot, lambda: "OFFLINE" in line_text(app, "top"))
        await pilot.pause(0.6)
        assert stream.opened == [None]
