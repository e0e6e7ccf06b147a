"""The palette finds VMs by a part of their name; and what is refused while the server's database is away."""

from __future__ import annotations

from datetime import timedelta

from novacron_core.api.events import Heartbeat
from tests.support.console.looking import SIZE, home, line_text, loaded, to, until
from tests.support.console.wire import Stream, Wire, console
from tests.support.console.world import NOW, fleet, inventory, live


async def test_a_part_of_a_name_leads_to_the_vm_past_screen_and_filter() -> None:
    app = console(Wire())
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("slash", *"web", "enter", "enter")
        await until(pilot, lambda: type(app.screen).__name__ == "VMPageScreen")
        await pilot.press("ctrl+p")
        await until(pilot, lambda: type(app.screen).__name__ == "CommandPalette")
        await pilot.press(*"legacy")
        options = app.screen.query_one("CommandList")
        await until(pilot, lambda: options.option_count == 1)  # type: ignore[attr-defined]
        await pilot.press("enter")
        await until(pilot, lambda: loaded(app) and len(home(app).pane.table.rows) == 9)
        await until(pilot, lambda: getattr(home(app).pane.table.row, "name", "") == "legacy-erp")


async def test_while_the_database_is_away_changes_are_refused_with_the_reason_and_come_back() -> None:
    wire, stream = Wire(), Stream(live(), inventory(fleet()))
    app = console(wire, stream)
    async with app.run_test(size=(140, 30)) as pilot:
        await until(pilot, lambda: loaded(app))
        to(app, "staging")
        away = NOW - timedelta(seconds=5)
        stream.say(Heartbeat(seq=10, server_time=NOW, database_away_since=away))
        await until(pilot, lambda: "database down 5s: changes are disabled" in line_text(app, "top"))
        await pilot.press("s")
        await until(pilot, lambda: "database is down" in line_text(app, "status"))
        assert not wire.calls or not wire.asked("POST", "/start")
        stream.say(Heartbeat(seq=10, server_time=NOW))
        await until(pilot, lambda: "database" not in line_text(app, "top"))
        await pilot.press("s")
        await until(pilot, lambda: len(wire.asked("POST", "/start")) == 1)


async def test_top_line_names_a_part_of_the_server_that_has_failed() -> None:
    stream = Stream(live(), inventory(fleet()))
    app = console(Wire(), stream)
    async with app.run_test(size=(180, 30)) as pilot:
        await until(pilot, lambda: loaded(app))
        stream.say(Heartbeat(seq=10, server_time=NOW, degraded=["event publisher", "reconciler"]))
        await until(pilot, lambda: "server degraded: event publisher +1" in line_text(app, "top"))
        stream.say(Heartbeat(seq=10, server_time=NOW))
        await until(pilot, lambda: "degraded" not in line_text(app, "top"))
