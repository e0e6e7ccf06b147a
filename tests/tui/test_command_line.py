"""The `:` line: the actions by name and by the same rules, hosts, themes, completion, and a clear answer to the rest."""

from __future__ import annotations

from typing import Any

from novacron_core.api.base import Page
from novacron_core.api.tenants import Tenant
from novacron_tui.app import Console
from novacron_tui.screens.activity import ActivityScreen
from tests.support.console.looking import SIZE, home, line_text, loaded, to, until
from tests.support.console.opening import opened
from tests.support.console.wire import Stream, Wire, console, ok
from tests.support.console.world import NOW, OTHER_HOST_ID, fleet, host, inventory, live, vm


async def say(pilot: Any, words: str) -> None:
    await pilot.press("colon", *("space" if c == " " else "minus" if c == "-" else c for c in words), "enter")


async def test_an_action_by_name_is_done_or_refused_as_by_its_key() -> None:
    async with opened() as (pilot, app, wire):
        to(app, "staging")
        await say(pilot, "start")
        await until(pilot, lambda: len(wire.asked("POST", "/start")) == 1)
        await say(pilot, "stop")
        await until(pilot, lambda: "staging is already stopped" in line_text(app, "status"))
        await say(pilot, "sta")
        await until(pilot, lambda: 'Unknown command "sta". Did you mean start, stop' in line_text(app, "status"))
        await say(pilot, "delete staging")
        await until(pilot, lambda: "delete takes no argument" in line_text(app, "status"))
        assert len(wire.asked("POST", "/start")) == 1
        await pilot.press("down")
        assert home(app).pane.table.has_focus


async def test_action_of_another_screen_is_named_with_the_way_there() -> None:
    async with opened() as (pilot, app, _wire):
        for name, told in (
            ("reset-password", "reset-password works on the people screen: 6 goes there"),
            ("verify", "verify works on the audit screen: :audit goes there"),
            ("password", "password works on the account screen: :account goes there"),
        ):
            await say(pilot, name)
            await until(pilot, lambda told=told: told in line_text(app, "status"))  # type: ignore[misc]


async def test_administrator_s_line_completes_the_tenants_of_others() -> None:
    wire = Wire()
    listed = [Tenant(id=name, name=name, created_at=NOW) for name in ("default", "red")]
    wire.routes["GET /api/admin/tenants"] = lambda _: ok(Page(items=listed, total=2, page=1, page_size=100))
    app = console(wire)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("colon")
        await until(pilot, lambda: "red" in app.session.tenants)  # type: ignore[union-attr]
        await pilot.press(*"tenant", "space", "r")
        await until(pilot, lambda: home(app).command._input._suggestion == "tenant red")


async def test_tab_completes_and_escape_does_nothing() -> None:
    app = console(Wire())
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("colon", *"acti")
        await until(pilot, lambda: "tab complete" in line_text(app, "keys"))
        await until(pilot, lambda: home(app).command._input._suggestion == "activity")
        await pilot.press("escape")
        assert home(app).pane.table.has_focus
        await pilot.press("colon", *"acti")
        await until(pilot, lambda: home(app).command._input._suggestion == "activity")
        await pilot.press("tab", "enter")
        await until(pilot, lambda: isinstance(app.screen, ActivityScreen))
        await say(pilot, "vms")
        await until(pilot, lambda: loaded(app))


async def test_a_host_a_theme_and_leaving() -> None:
    other = host(id=OTHER_HOST_ID, name="kvm-b")
    app: Console = console(Wire(), Stream(live(), inventory([*fleet(), vm("far", 70, host=other.id)], [host(), other])))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await say(pilot, "theme light")
        await until(pilot, lambda: app.theme == "novacron-light")
        await say(pilot, "theme pink")
        await until(pilot, lambda: "contrast" in line_text(app, "status"))
        await pilot.press("7")
        await until(pilot, lambda: isinstance(app.screen, ActivityScreen))
        await say(pilot, "host kvm-b")
        await until(pilot, lambda: loaded(app) and [row.name for row in home(app).pane.table.rows] == ["far"])
        await say(pilot, "q")
        await until(pilot, lambda: not app.is_running or app._exit)


async def test_a_host_that_does_not_exist_is_named_with_those_that_do() -> None:
    hosts = [host(), host(id=OTHER_HOST_ID, name="kvm-b")]
    app = console(Wire(), Stream(live(), inventory([vm("a", 1), vm("b", 2, host=OTHER_HOST_ID)], hosts)))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await say(pilot, "host nope")
        await until(pilot, lambda: 'no host is called "nope"; hosts: kvm-a, kvm-b' in line_text(app, "status"))
        assert len(home(app).pane.table.rows) == 2
        await say(pilot, "host KVM-B")
        await until(pilot, lambda: [row.name for row in home(app).pane.table.rows] == ["b"])
