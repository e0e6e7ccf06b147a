"""The timeline: what was stored and what the stream tells, each once, in days and groups."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from novacron_core.api.operations import OperationState, Target
from novacron_core.api.stored_events import StoredEvent
from novacron_tui.app import Console
from novacron_tui.connection.event_log import PAGE
from novacron_tui.operations.entries import ActivityEntry, of_event, of_operation
from novacron_tui.operations.timeline import Shown, timeline, without_told
from novacron_tui.screens.activity import ActivityScreen
from tests.support.console.looking import SIZE, line_text, loaded, text, to, until
from tests.support.console.past import ended, last_night, stored, stored_end
from tests.support.console.wire import Stream, Wire, console, ok, refuse
from tests.support.console.world import NOW, event, fleet, inventory, live, operation, vm

WEB = fleet()[0]


@pytest.fixture
def tokyo() -> Iterator[None]:
    """Nine hours ahead of UTC."""
    before = os.environ["TZ"]
    os.environ["TZ"] = "Asia/Tokyo"
    time.tzset()
    yield
    os.environ["TZ"] = before
    time.tzset()


def rows(entries: Sequence[ActivityEntry], **more: Any) -> list[str]:
    return [row.line or row.what for row in timeline(entries, Shown(**more))]


def at(hours: float, kind: str = "vm.stopped", name: str = "web-01", **more: Any) -> ActivityEntry:
    when = NOW - timedelta(hours=hours)
    return of_event(stored(int(10_000 - hours * 100), vm(name, 1), kind, when, **more), "kvm-a")


# -- rows ------------------------------------------------------------------------------------------------------------


def test_days_begin_at_midnight_of_the_operator(tokyo: None) -> None:
    # 12:00 UTC is 21:00 in Tokyo; its day began at 15:00 UTC of the day before.
    entries = [at(1), at(20.9, "vm.started"), at(21.1, "vm.paused"), at(50, "vm.resumed")]
    assert rows(entries) == [
        "Mon 23 Nov", "stopped", "started", "Sun 22 Nov", "paused", "Sat 21 Nov", "resumed",
    ]  # fmt: skip


def test_line_of_the_last_visit_is_below_what_is_new() -> None:
    entries = [at(1), at(2, "vm.started"), at(40, "vm.paused")]
    assert rows(entries, last_here=NOW - timedelta(hours=1, minutes=30)) == [
        "Mon 23 Nov", "stopped", "since you were last here (10:30)", "started", "Sat 21 Nov", "paused",
    ]  # fmt: skip
    assert not any("last here" in row for row in rows(entries, last_here=NOW)), "nothing is new"
    assert "since you were last here (Sun 17:40)" not in rows(entries[:1])


def test_a_run_of_the_same_by_one_actor_is_one_row() -> None:
    ops = [
        of_operation(ended("vm.stop", vm(f"dns-{n:03d}", n), NOW - timedelta(seconds=50 * n), actor="admin"))
        for n in range(10)
    ]
    other = of_operation(ended("vm.stop", WEB, NOW - timedelta(seconds=30), actor="bob"))
    late = of_operation(ended("vm.stop", vm("dns-900", 900), NOW - timedelta(minutes=30), actor="admin"))
    found = timeline([*ops, other, late], Shown())
    assert [row.line or f"{row.what} {row.target} {row.actor}" for row in found] == [
        "Mon 23 Nov", "10 shut down dns-* admin", "shut down web-01 bob", "shut down dns-900 admin",
    ]  # fmt: skip
    opened = timeline([*ops, other, late], Shown(open={ops[3].id}))
    assert len(opened) == len(found) + 10
    assert timeline(ops[:2], Shown())[1].folded == (), "two are read as quickly as one"


def test_crashes_are_never_folded_nor_told_by_an_operation() -> None:
    crashes = [at(n / 100, "vm.crashed", f"web-{n}", actor="ada") for n in range(5)]
    stop = of_operation(
        ended("vm.stop", WEB, NOW + timedelta(seconds=1), created_at=NOW - timedelta(hours=1), actor="ada")
    )
    assert len([row for row in rows(without_told([*crashes, stop])) if row == "crashed"]) == 5


def test_events_that_an_operation_caused_are_not_told_twice() -> None:
    when = NOW - timedelta(minutes=5)
    created = of_operation(ended("vm.create", WEB, when, actor="bob"))
    caused = [
        of_event(stored(1, WEB, "vm.started", when - timedelta(seconds=1), actor="bob"), ""),
        of_event(_volume(2, "web-01-disk", when - timedelta(seconds=2)), ""),
        of_event(stored(3, WEB, "vm.failed", when + timedelta(seconds=2), actor="bob"), ""),
    ]
    pause = of_operation(ended("vm.pause", vm("db-01", 3), when, actor="ada"))
    # Read so early that the server did not know yet who had paused it.
    caused.append(of_event(stored(7, vm("db-01", 3), "vm.paused", when - timedelta(seconds=1)), ""))
    others = [
        of_event(stored(4, WEB, "vm.stopped", when + timedelta(minutes=2)), ""),
        of_event(stored(5, WEB, "vm.paused", when - timedelta(seconds=1)), ""),
        of_event(_volume(6, "db-disk", when - timedelta(seconds=2)), ""),
    ]
    assert without_told([created, pause, *caused, *others]) == [created, pause, *others]


def _volume(seq: int, name: str, when: Any) -> StoredEvent:
    made = stored(seq, WEB, "volume.created", when)
    return msgspec.structs.replace(made, target=Target(type="volume", id=f"v-{name}", name=name))


def test_an_operation_that_cannot_be_read_is_listed_with_its_kind() -> None:
    damaged = msgspec.structs.replace(
        stored_end(1, ended("vm.stop", WEB, NOW, state=OperationState.FAILED)), operation=None
    )
    entry = of_event(damaged, "")
    assert (entry.what, entry.tone, entry.state) == ("shutdown failed", "bad", "failed")


# -- in the console --------------------------------------------------------------------------------------------------


def here(app: Console) -> ActivityScreen:
    assert isinstance(app.screen, ActivityScreen)
    return app.screen


def listed(app: Console) -> list[str]:
    return [f"{row.what} {row.target}" for row in here(app).table.rows if not row.line]


def many(count: int) -> list[StoredEvent]:
    """An hour apart, so that nothing folds; newest first."""
    return [stored(count - n, vm(f"vm-{n:04d}", n), "vm.stopped", NOW - timedelta(hours=n + 1)) for n in range(count)]


async def reach(pilot: Any, app: Console) -> None:
    await until(pilot, lambda: loaded(app))
    await pilot.press("7")
    await until(pilot, lambda: isinstance(app.screen, ActivityScreen) and bool(listed(app)))


async def test_a_crash_that_came_before_the_console_is_in_the_list() -> None:
    app = console(Wire(events=last_night()), Stream(live(), inventory(fleet(), seq=2000)))
    async with app.run_test(size=(140, 40)) as pilot:
        await reach(pilot, app)
        assert listed(app) == ["134 shut down dns-*", "crashed mail", "created web-01", "paused db-01"]
        seen = text(app)
        for words in ("Mon 23 Nov", "Sun 22 Nov", "02:06:00", "9h54m", "guest kernel panic", "admin", "CLOCK"):
            assert words in seen


async def test_older_pages_come_when_the_cursor_nears_the_end_and_live_events_join_once() -> None:
    wire = Wire(events=many(3 * PAGE + 7))
    stream = Stream(live(), inventory(fleet(), seq=1000))
    app = console(wire, stream)
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app)
        await until(pilot, lambda: len(listed(app)) == PAGE)
        new = event(1001, WEB, "vm.paused", time=NOW)
        wire.events.insert(0, stored(1001, WEB, "vm.paused", NOW))
        stream.say(new)
        await until(pilot, lambda: listed(app)[0] == "paused web-01")
        while len(listed(app)) < 3 * PAGE + 8:
            before = len(listed(app))
            await pilot.press("end")
            await until(pilot, lambda n=before: len(listed(app)) > n)  # type: ignore[misc]
        wanted = ["paused web-01", *(f"stopped vm-{n:04d}" for n in range(3 * PAGE + 7))]
        assert listed(app) == wanted, "each once, without a gap"
        await until(pilot, lambda: "loading older" not in text(app))


async def test_a_gap_of_the_stream_is_filled_from_the_store() -> None:
    wire = Wire(events=many(5))
    stream = Stream(live(), inventory(fleet(), seq=1000))
    app = console(wire, stream)
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app)
        await until(pilot, lambda: len(listed(app)) == 5)
        # The connection was lost for so long that the server sends the whole inventory again.
        wire.events.insert(0, stored(1500, WEB, "vm.crashed", NOW - timedelta(minutes=1), reason="panic"))
        stream.say(inventory(fleet(), seq=2000))
        await until(pilot, lambda: listed(app)[0] == "crashed web-01")
        assert len(listed(app)) == 6


async def test_a_server_that_cannot_list_costs_nothing_that_is_known() -> None:
    refused = [True]

    def answer(_: Any) -> Any:
        if refused[0]:
            return refuse(503, "database_unavailable", "the database cannot be reached")
        return ok({"items": [], "total": 0, "page": 1, "page_size": PAGE})

    wire = Wire(routes={"GET /api/events": answer})
    running = operation("vm.stop", WEB)
    app = console(wire, Stream(live(), inventory(fleet(), operations=[running])))
    async with app.run_test(size=(140, 30)) as pilot:
        await reach(pilot, app)
        await until(pilot, lambda: "older events cannot be shown: the database cannot be reached" in text(app))
        assert listed(app) == ["shutting down web-01"]
        refused[0] = False
        await pilot.press("end", "enter")
        await until(pilot, lambda: "cannot be shown" not in text(app))


async def test_a_server_of_an_older_version_is_no_trouble() -> None:
    wire = Wire(routes={"GET /api/events": lambda _: refuse(404, "not_found", "No such resource")})
    app = console(wire, Stream(live(), inventory(fleet(), operations=[operation("vm.stop", WEB)])))
    async with app.run_test(size=(140, 30)) as pilot:
        await reach(pilot, app)
        await until(pilot, lambda: "this server lists no stored events" in text(app))
        assert listed(app) == ["shutting down web-01"]


async def test_a_group_unfolds_and_folds_again() -> None:
    app = console(Wire(events=last_night()), Stream(live(), inventory(fleet(), seq=2000)))
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app)
        await until(pilot, lambda: len(listed(app)) == 4)
        await until(pilot, lambda: "enter lists them" in line_text(app, "status"))
        await pilot.press("enter")
        await until(pilot, lambda: len(listed(app)) == 138)
        await pilot.press("down", "down", "C")
        await until(pilot, lambda: "already finished" in line_text(app, "status"))
        await pilot.press("escape")
        await until(pilot, lambda: len(listed(app)) == 4)
        row = here(app).table.row
        assert row is not None and row.folded, "the cursor is on the group"
        await pilot.press("enter", "enter")
        await until(pilot, lambda: len(listed(app)) == 4)
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, ActivityScreen))


async def test_no_action_applies_to_a_line_or_the_head_of_a_group() -> None:
    wire = Wire(events=last_night())
    app = console(wire, Stream(live(), inventory(fleet(), seq=2000)))
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app)
        await until(pilot, lambda: len(listed(app)) == 4)
        await pilot.press("C")
        await until(pilot, lambda: "only running operations can be cancelled" in line_text(app, "status"))
        await pilot.press("home")
        row = here(app).table.row
        assert row is not None
        assert row.line == "Mon 23 Nov"
        await pilot.press("C", "enter")
        await pilot.pause()
        assert isinstance(app.screen, ActivityScreen)
        assert not wire.asked("POST", "/cancel")


async def test_a_filter_asks_the_server_for_what_is_not_loaded() -> None:
    wire = Wire(events=many(2 * PAGE))
    app = console(wire, Stream(live(), inventory(fleet(), seq=1000)))
    async with app.run_test(size=(140, 30)) as pilot:
        await reach(pilot, app)
        await until(pilot, lambda: len(listed(app)) == PAGE)
        old = stored(7, WEB, "vm.crashed", NOW - timedelta(days=20), after="crashed", actor="bob")
        wire.routes["GET /api/events"] = lambda _: ok(
            {"items": [msgspec.to_builtins(old)], "total": 1, "page": 1, "page_size": PAGE}
        )
        pages = len(wire.asked("GET", "/api/events"))
        await pilot.press("slash", *"by:bob since:22:00")
        await until(pilot, lambda: listed(app) == ["crashed web-01"])
        asked = wire.asked("GET", "/api/events")[-1].url.params["q"]
        assert asked == "is:notable -is:part by:bob since:2026-11-22T22:00:00Z"
        assert len(wire.asked("GET", "/api/events")) == pages + 1, "not at every key"
        assert "1 of" in text(app)
        await pilot.press("escape")
        await until(pilot, lambda: len(listed(app)) == PAGE)


async def test_help_and_the_empty_filter_name_the_fields() -> None:
    app = console(Wire(events=last_night()), Stream(live(), inventory(fleet(), seq=2000)))
    async with app.run_test(size=(140, 45)) as pilot:
        await reach(pilot, app)
        await pilot.press("question_mark")
        await until(pilot, lambda: "since:22:00" in text(app))
        for words in ("age<8h", "by:ada", "host:kvm-a"):
            assert words in text(app)


async def test_the_page_of_a_vm_lists_its_stored_events_alone() -> None:
    wire = Wire(
        events=[
            e
            for e in last_night()
            if e.target.name == "web-01" or (e.operation and e.operation.target.name == "web-01")
        ]
    )
    app = console(wire, Stream(live(), inventory(fleet(), seq=2000)))
    async with app.run_test(size=(140, 40)) as pilot:
        await until(pilot, lambda: loaded(app))
        to(app, "web-01")
        await pilot.press("enter", ":", *"events", "enter")
        await until(pilot, lambda: "created" in text(app) and "00:06:00" in text(app))
        assert wire.asked("GET", "/api/events")[-1].url.params["q"] == f'is:notable id:"{app.screen.vm.id}"'  # type: ignore[attr-defined]
