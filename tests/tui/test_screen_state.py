"""A screen that one comes back to is as it was left, for as long as one is signed in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from novacron_core.errors import Unauthenticated
from novacron_tui.app import Console
from novacron_tui.screens.activity import ActivityScreen
from novacron_tui.screens.metrics import MetricsScreen
from novacron_tui.screens.storage import StorageScreen
from novacron_tui.screens.vm_list import VMListScreen
from tests.support.console.looking import fill, line_text, loaded, react, text, until
from tests.support.console.metrics_world import measured
from tests.support.console.metrics_world import wire as metrics_wire
from tests.support.console.storage_world import storage, stored
from tests.support.console.storage_world import wire as storage_wire
from tests.support.console.wire import Stream, Wire, console
from tests.support.console.world import PASSWORD, VIEWER, event, fleet, host, inventory, live, operation

SIZE = (140, 45)


async def on(pilot: Any, app: Console, key: str, kind: type[Any]) -> Any:
    """The screen of this key, another than the one before."""
    before = app.screen
    await pilot.press(key)
    await until(pilot, lambda: isinstance(app.screen, kind) and app.screen is not before and app.screen.is_mounted)
    return app.screen


async def home_again(pilot: Any, app: Console) -> None:
    await pilot.press("1")
    await until(pilot, lambda: loaded(app))


@asynccontextmanager
async def at_storage(stream: Stream | None = None) -> AsyncIterator[tuple[Any, Console, Any]]:
    """Signed in, and on the storage screen."""
    app = console(storage_wire(), stream or storage())
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        yield pilot, app, await on(pilot, app, "4", StorageScreen)


def cursor(screen: Any) -> Any:
    row = screen.table.row
    return row.id if row is not None else None


async def test_storage_keeps_its_order_its_cursor_and_a_filter_that_is_shown() -> None:
    async with at_storage() as (pilot, app, screen):
        await pilot.press("o", "O", "/", *"tier:cold", "enter")
        await until(pilot, lambda: len(screen.table.rows) == 2 and not screen.filter.editing)
        await pilot.press("end")
        await until(pilot, lambda: screen.table.row is screen.table.rows[1])
        left = (screen.table.sort_key, screen.table.descending, cursor(screen))
        await home_again(pilot, app)
        again = await on(pilot, app, "4", StorageScreen)
        await until(pilot, lambda: "tier:cold" in text(app) and "2 of 7" in text(app), "why rows are missing")
        assert (again.table.sort_key, again.table.descending, cursor(again)) == left
        assert again.table.has_focus
        await pilot.press("/", "up")
        await until(pilot, lambda: again.filter.text == "tier:cold", "the filters before are known too")
        await pilot.press("escape")
        await until(pilot, lambda: len(again.table.rows) == 7)
        assert cursor(again) == left[2]


async def test_storage_is_at_the_pools_again() -> None:
    async with at_storage() as (pilot, app, screen):
        await pilot.press("tab", "tab", "end")
        await until(pilot, lambda: screen.table is screen.pools and screen.table.row is screen.table.rows[-1])
        await home_again(pilot, app)
        again = await on(pilot, app, "4", StorageScreen)
        assert again is not screen
        await until(pilot, lambda: again.pools.has_focus)
        assert cursor(again) == cursor(screen)


async def test_a_row_that_is_gone_leaves_the_cursor_at_the_top() -> None:
    stream = storage()
    async with at_storage(stream) as (pilot, app, screen):
        await pilot.press("end")
        await until(pilot, lambda: screen.table.row is screen.table.rows[-1])
        gone = cursor(screen)
        await home_again(pilot, app)
        stream.say(stored(volumes=[volume for volume in stored().things["volumes"] if volume.id != gone]))
        assert app.session is not None
        store = app.session.store
        await until(pilot, lambda: gone not in store.volumes)
        again = await on(pilot, app, "4", StorageScreen)
        await until(pilot, lambda: again.table.rows and again.table.row is again.table.rows[0])


async def test_a_screen_that_is_open_below_is_gone_back_to() -> None:
    async with at_storage() as (pilot, app, below):
        await pilot.press("o", "end")
        await until(pilot, lambda: below.table.row is below.table.rows[-1])
        at = cursor(below)
        for _ in range(3):
            await on(pilot, app, "7", ActivityScreen)
            assert await on(pilot, app, "4", StorageScreen) is below
            await pilot.press("4")
        assert cursor(below) == at
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, VMListScreen))


def done() -> Stream:
    vms = fleet()
    ops = [operation("vm.start", vms[5]), operation("vm.create", vms[7]), operation("vm.stop", vms[0])]
    return Stream(live(), inventory(vms, operations=ops))


async def test_activity_keeps_its_entry_and_its_filter_and_who_was_at_the_newest_is_there_again() -> None:
    stream = done()
    app = console(Wire(), stream)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        screen = await on(pilot, app, "7", ActivityScreen)
        await until(pilot, lambda: len(screen.table.rows) == 3)
        await home_again(pilot, app)
        stream.say(event(11, operation("vm.pause", fleet()[1]), "operation.started"))
        assert app.session is not None
        store = app.session.store
        await until(pilot, lambda: store.seq == 11)
        screen = await on(pilot, app, "7", ActivityScreen)
        await until(pilot, lambda: len(screen.table.rows) == 4 and screen.table.row is screen.table.rows[0])
        await pilot.press("/", *"by:ada", "enter")
        await until(pilot, lambda: not screen.filter.editing)
        await pilot.press("down", "down")
        await until(pilot, lambda: screen.table.row is screen.table.rows[2])
        here = cursor(screen)
        await home_again(pilot, app)
        stream.say(event(12, operation("vm.pause", fleet()[2]), "operation.started"))
        await until(pilot, lambda: store.seq == 12)
        again = await on(pilot, app, "7", ActivityScreen)
        await until(pilot, lambda: "by:ada" in text(app) and "5 of 5" in text(app))
        assert cursor(again) == here


async def test_metrics_keep_range_host_rank_and_vm() -> None:
    app = console(metrics_wire(), measured())
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        screen = await on(pilot, app, "5", MetricsScreen)
        await pilot.press("w", "tab", "o", "home", "right", "right")
        await until(pilot, lambda: "db-01 on kvm-a" in line_text(app, "status") and "kvm-a CPU 62%" in text(app))
        await home_again(pilot, app)
        again = await on(pilot, app, "5", MetricsScreen)
        await until(pilot, lambda: "db-01 on kvm-a" in line_text(app, "status") and "kvm-a CPU 62%" in text(app))
        await until(pilot, lambda: again._history is not None and "-1h" in text(app))
        assert "Top by memory" in text(app)
        assert again.heat.vm == screen.heat.vm


async def test_what_is_paused_stays_as_it_was_and_asks_for_nothing() -> None:
    app = console(metrics_wire(), measured())
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        screen = await on(pilot, app, "5", MetricsScreen)
        await until(pilot, lambda: screen._history is not None and bool(screen._charts.lines))
        await pilot.press("p")
        await until(pilot, lambda: "PAUSED" in text(app))
        await home_again(pilot, app)
        again = await on(pilot, app, "5", MetricsScreen)
        await until(
            pilot,
            lambda: (
                "PAUSED" in text(app)
                and (again._charts.lines, again._users.lines) == (screen._charts.lines, screen._users.lines)
            ),
            "the same curves and users",
        )
        assert again.heat._cells == screen.heat._cells
        assert app.session is not None
        assert app.session.wanted is None
        assert again._now is screen._now
        assert again._history is screen._history


async def test_a_host_that_is_gone_is_the_fleet_again() -> None:
    stream = measured()
    app = console(metrics_wire(), stream)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        screen = await on(pilot, app, "5", MetricsScreen)
        await pilot.press("tab", "tab")
        await until(pilot, lambda: "kvm-b" in text(app))
        await home_again(pilot, app)
        stream.say(inventory(fleet(), [host()]))
        assert app.session is not None
        store = app.session.store
        await until(pilot, lambda: len(store.hosts) == 1)
        again = await on(pilot, app, "5", MetricsScreen)
        await until(pilot, lambda: "fleet 4 VMs" in text(app))
        assert screen is not again


async def test_another_user_starts_anew() -> None:
    server, stream = storage_wire(), storage()
    app = console(server, stream)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        screen = await on(pilot, app, "4", StorageScreen)
        await pilot.press("/", *"tier:cold", "enter")
        await until(pilot, lambda: len(screen.table.rows) == 2)
        stream.say(Unauthenticated("your session has ended: sign in again"))
        await until(pilot, lambda: bool(app.screen.query("SignInForm Input")) and app.screen.focused is not None)
        server.user = VIEWER
        stream.say(live(), stored())
        await react(pilot)
        await fill(pilot, PASSWORD)
        await until(pilot, lambda: loaded(app) and app.session is not None and app.session.user == VIEWER)
        again = await on(pilot, app, "4", StorageScreen)
        await until(pilot, lambda: len(again.table.rows) == 7)
        assert again.filter.text == ""
