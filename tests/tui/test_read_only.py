"""Read-only mode: every action that changes something is refused with its reason, and nothing is sent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from novacron_core.api import vms
from novacron_core.errors import Forbidden
from novacron_tui.servers.server_choice import READ_ONLY
from novacron_tui.servers.server_ref import ServerRef
from tests.support.console.looking import line_text, loaded, text, to, until
from tests.support.console.wire import Stream, Wire, console
from tests.support.console.world import fleet, inventory, live, vm_id

PLACE = replace(ServerRef("http://127.0.0.1:8090"), read_only=READ_ONLY)


@pytest.mark.parametrize("key", ["x", "X", "p", "D", "c", "t"])
async def test_a_key_that_changes_something_says_why_it_does_not(key: str) -> None:
    wire = Wire()
    app = console(wire, Stream(live(), inventory(fleet())), place=PLACE)
    async with app.run_test(size=(120, 30)) as pilot:
        await until(pilot, lambda: loaded(app) and " READ-ONLY " in text(app))
        to(app, "web-01")
        await pilot.press(key)
        await until(pilot, lambda: "started with --read-only" in line_text(app, "status"))
        await pilot.pause(0.1)
        assert loaded(app)
        assert not [call for call in wire.calls if call.method != "GET" and call.url.path.startswith("/api/")]


async def test_looking_is_free() -> None:
    app = console(Wire(), Stream(live(), inventory(fleet())), place=PLACE)
    async with app.run_test(size=(120, 30)) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("/", *"web", "enter", "space")
        await until(pilot, lambda: "1 VM marked" in text(app))


async def test_the_client_refuses_what_a_screen_would_let_through() -> None:
    from novacron_core.client import Client

    wire = Wire()
    async with Client("http://127.0.0.1:8090", transport=wire, read_only=READ_ONLY) as client:
        with pytest.raises(Forbidden, match="read-only"):
            await client.call(vms.START, vm_id=vm_id(1))
    assert not wire.calls
