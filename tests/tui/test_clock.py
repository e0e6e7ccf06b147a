"""An operator's machine whose clock is wrong: ages and time ranges are the server's, and the difference is said once."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from novacron_core.api.events import Heartbeat
from novacron_core.api.vms import State
from novacron_core.client import Connected, Disconnected
from novacron_core.values.ages import duration_words
from novacron_tui.app import Console
from novacron_tui.connection.clock import ServerClock
from novacron_tui.connection.store import ConnectionState, Store
from novacron_tui.screens.activity import ActivityScreen
from novacron_tui.screens.metrics import MetricsScreen
from tests.support.console import metrics_world
from tests.support.console.looking import line_text, loaded, text, to, until
from tests.support.console.vm_page_world import page_wire
from tests.support.console.wire import Stream, Wire, console
from tests.support.console.world import NOW, Clock, event, fleet, host, inventory, live, vm

SIZE = (140, 36)
SHIFTS = [timedelta(minutes=10), timedelta(minutes=-10)]


def shifted(by: timedelta) -> Clock:
    """A clock that is ahead of the server's."""
    clock = Clock()
    clock.time += by
    return clock


def heartbeat(server_time: datetime) -> Heartbeat:
    return Heartbeat(seq=10, server_time=server_time)


# -- the clock -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", SHIFTS)
def test_it_tells_the_servers_time(by: timedelta) -> None:
    local = shifted(by)
    clock = ServerClock(local)
    assert clock() == NOW + by, "nothing is known yet"
    clock.start(NOW, 0.0)
    assert clock() == NOW
    local.pass_s(5)
    assert clock() == NOW + timedelta(seconds=5)


@pytest.mark.parametrize("said", [datetime.max, datetime.min])
def test_a_time_that_no_clock_can_have_stops_no_clock(said: datetime) -> None:
    local = Clock()
    clock = ServerClock(local)
    clock.start(said.replace(tzinfo=UTC), 0.0)
    local.pass_s(5)
    clock()
    assert "This machine's clock" in clock.take_warning()


def test_a_delayed_heartbeat_changes_nothing_and_a_clock_that_was_set_is_followed() -> None:
    local = Clock()
    clock = ServerClock(local)
    clock.start(NOW, 0.0)
    local.pass_s(30)
    clock.note(NOW)
    assert clock() == NOW + timedelta(seconds=30), "it was on its way for long"
    local.pass_s(600)
    for _ in range(3):
        local.pass_s(20)
        clock.note(local() - timedelta(seconds=600))
    assert clock() == local() - timedelta(seconds=600), "this machine's clock was set forward"


def test_a_slow_connection_is_no_difference() -> None:
    local = Clock()
    clock = ServerClock(local)
    clock.start(NOW - timedelta(seconds=6), 7.0)
    assert clock.take_warning() == ""
    clock.start(NOW - timedelta(seconds=10), 7.0)
    assert "ahead of the server's" in clock.take_warning()


@pytest.mark.parametrize(
    ("by_s", "words"),
    [
        (600, "This machine's clock is 10 min ahead of the server's. Ages use the server's clock."),
        (-7200, "This machine's clock is 2 h behind the server's. Ages use the server's clock."),
        (3, "3 s ahead of"),
        (1.9, ""),
        (-1.9, ""),
    ],
)
def test_a_difference_is_said_once(by_s: float, words: str) -> None:
    clock = ServerClock(shifted(timedelta(seconds=by_s)))
    clock.start(NOW, 0.0)
    assert words in (said := clock.take_warning())
    assert bool(said) == bool(words)
    clock.start(NOW, 0.0)
    assert clock.take_warning() == ""


def test_durations_in_words() -> None:
    assert [duration_words(s) for s in (3, 59, 60, 600, 7200, 86400, 5 * 86400)] == [
        "3 s", "59 s", "1 min", "10 min", "2 h", "1 day", "5 days"
    ]  # fmt: skip


@pytest.mark.parametrize("by", SHIFTS)
def test_how_fresh_the_data_is_does_not_depend_on_the_difference(by: timedelta) -> None:
    local = shifted(by)
    store = Store(local)
    store.set_connected(live().hello)
    store.apply(inventory(fleet()))
    assert store.connection is ConnectionState.LIVE
    local.pass_s(5)
    store.apply(heartbeat(NOW + timedelta(seconds=5)))
    assert store.connection is ConnectionState.LIVE
    assert store.age_s == 0
    store.set_disconnected("gone", 4.0)
    local.pass_s(3)
    assert (store.age_s, store.retry_in_s) == (3.0, 1.0)


# -- the console ---------------------------------------------------------------------------------------------------


def world() -> Stream:
    since = NOW - timedelta(minutes=3)
    hosts = [host(seen_at=NOW - timedelta(seconds=2))]
    return Stream(live(), inventory([vm("web-01", 1, State.PAUSED, state_since=since)], hosts))


def has_age(shown: str, age: str) -> bool:
    return re.search(rf"\b{age}\b", shown) is not None


def row(app: Console, name: str) -> str:
    return next((line for line in text(app).splitlines() if name in line), "")


@pytest.mark.parametrize("by", SHIFTS)
async def test_ages_are_the_servers_everywhere(by: timedelta) -> None:
    stream = world()
    app = console(Wire(), stream, now=shifted(by))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app) and has_age(row(app, "web-01"), "3m"))
        stream.say(event(11, vm("web-01", 1, State.PAUSED), "vm.paused", note="by ada", time=NOW - timedelta(hours=1)))
        await until(pilot, lambda: app.session is not None and app.session.store.seq == 11)
        await pilot.press("7")
        await until(pilot, lambda: isinstance(app.screen, ActivityScreen) and has_age(row(app, "by ada"), "1h"))
        await pilot.press("1")
        await until(pilot, lambda: loaded(app))
        to(app, "web-01")
        await pilot.press("enter")
        await until(pilot, lambda: has_age(text(app), "8m"))


@pytest.mark.parametrize("by", SHIFTS)
async def test_the_charts_ask_for_the_servers_time(by: timedelta) -> None:
    server = metrics_world.wire()
    app = console(server, metrics_world.measured(), now=shifted(by))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("5")
        await until(pilot, lambda: isinstance(app.screen, MetricsScreen) and bool(history_ends(server)))
        assert history_ends(server)[0] == NOW


@pytest.mark.parametrize("by", SHIFTS)
async def test_the_charts_of_a_vm_ask_for_the_servers_time(by: timedelta) -> None:
    server = page_wire()
    app = console(server, world(), now=shifted(by))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("enter", "tab")
        await until(pilot, lambda: bool(history_ends(server)))
        assert history_ends(server)[0] == NOW


def history_ends(server: Wire) -> list[datetime]:
    calls = [call.url.params for call in server.calls if call.url.path == "/api/monitoring/history"]
    return [datetime.fromisoformat(params["to"]).astimezone(UTC) for params in calls]


async def test_the_console_says_the_difference_once() -> None:
    stream = world()
    app = console(Wire(), stream, now=shifted(SHIFTS[0]))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app) and "clock is 10 min ahead of the server" in line_text(app, "status"))
        await pilot.press("escape")
        await until(pilot, lambda: "clock" not in line_text(app, "status"))
        stream.say(Disconnected("gone", 1.0))
        await until(pilot, lambda: "OFFLINE" in line_text(app, "top"))
        stream.say(Connected(live().hello), inventory(fleet()))
        await until(pilot, lambda: "LIVE" in line_text(app, "top"))
        assert "clock" not in line_text(app, "status")
