"""The activity by key presses: what runs first, reasons in full, cancelling, one filter, and the way there and back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from novacron_core.api.operations import OperationState
from novacron_core.api.problem import Problem
from novacron_tui.app import Console
from novacron_tui.operations.entries import ActivityEntry
from novacron_tui.screens.activity import ActivityScreen
from tests.support.console.looking import SIZE, home, line_text, loaded, text, to, until
from tests.support.console.wire import Stream, Wire, console, ok
from tests.support.console.world import NOW, event, fleet, inventory, live, operation

REASON = "the disk image is locked by another guest: " + "look at the other host first, " * 8 + "then start it"


def world(*, may_cancel: bool = True) -> Stream:
    vms = fleet()
    problem = Problem(title="internal", status=500, code="internal", detail=REASON)
    failed = operation(
        "vm.start", vms[5], state=OperationState.FAILED, problem=problem, created_at=NOW - timedelta(minutes=4)
    )
    runs = operation("vm.create", vms[7], progress=0.45, step="copying the disk", may_cancel=may_cancel, actor="bob")
    runs = msgspec.structs.replace(runs, created_at=NOW - timedelta(hours=1))
    crashed = event(11, vms[5], "vm.crashed", note="I/O error on vda")
    return Stream(live(), inventory(vms, operations=[failed, runs]), crashed)


def here(app: Console) -> ActivityScreen:
    assert isinstance(app.screen, ActivityScreen)
    return app.screen


def shown(app: Console) -> list[ActivityEntry]:
    """The rows that are no lines."""
    return [row for row in here(app).table.rows if not row.line]


async def reach(pilot: Any, app: Console) -> None:
    await until(pilot, lambda: loaded(app) and app.session is not None and app.session.store.seq == 11)
    await pilot.press("7")
    await until(pilot, lambda: isinstance(app.screen, ActivityScreen) and bool(shown(app)))


async def test_what_runs_is_first_then_the_newest_with_reason_and_actor() -> None:
    app = console(Wire(), world())
    async with app.run_test(size=(140, 30)) as pilot:
        await reach(pilot, app)
        assert [row.target for row in shown(app)] == ["staging", "mail", "mail"]
        seen = text(app)
        for words in ("creating", "45%", "bob", "copying the disk", "crashed", "I/O error on vda", "locked by another"):
            assert words in seen


async def test_what_is_over_is_as_old_as_its_end_here_and_on_the_page_of_its_vm() -> None:
    vms = fleet()
    began = {"created_at": NOW - timedelta(hours=3), "started_at": NOW - timedelta(hours=3)}
    long = operation(
        "vm.save", vms[1], state=OperationState.SUCCEEDED, finished_at=NOW - timedelta(seconds=42), **began
    )
    short = operation("vm.stop", vms[0], state=OperationState.SUCCEEDED, created_at=NOW - timedelta(minutes=9))
    short = msgspec.structs.replace(short, finished_at=NOW - timedelta(minutes=8))
    app = console(Wire(), Stream(live(), inventory(vms, operations=[short, long])))
    async with app.run_test(size=(140, 30)) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("7")
        await until(pilot, lambda: isinstance(app.screen, ActivityScreen) and len(shown(app)) == 2)
        assert [row.target for row in shown(app)] == ["web-02", "web-01"], "by when they ended"
        await until(pilot, lambda: "42s" in text(app) and "8m" in text(app))
        await pilot.press("enter")
        await until(pilot, lambda: "11:59:18 UTC, 42s ago" in text(app))
        for words in ("started", "09:00:00 UTC, 3h ago", "ended", "took"):
            assert words in text(app)
        await pilot.press("escape", "1")
        await until(pilot, lambda: loaded(app))
        to(app, "web-02")
        await pilot.press("enter")
        await until(pilot, lambda: type(app.screen).__name__ == "VMPageScreen" and "42s" in text(app))


async def test_a_long_reason_is_read_in_full() -> None:
    app = console(Wire(), world())
    async with app.run_test(size=(80, 24)) as pilot:
        await reach(pilot, app)
        await pilot.press("end", "enter")
        await until(pilot, lambda: type(app.screen).__name__ == "Detail")
        full = " ".join(str(widget.render()) for widget in app.screen.query("Static"))
        assert REASON in " ".join(full.split())
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ActivityScreen))


async def test_an_operation_is_cancelled_where_it_may_be() -> None:
    wire, stream = Wire(), world()
    op_id = f"op-vm.create-{fleet()[7].name}"
    wire.routes = {f"POST /api/operations/{op_id}/cancel": lambda _: ok(operation("vm.create", fleet()[7]), 202)}
    app = console(wire, stream)
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app)
        await pilot.press("C")
        await until(pilot, lambda: len(wire.asked("POST", "/cancel")) == 1)
        await until(pilot, lambda: "Cancelling the operation on staging…" in line_text(app, "status"))
        await pilot.press("end", "C")
        await until(pilot, lambda: "already finished" in line_text(app, "status"))
        assert len(wire.asked("POST", "/cancel")) == 1


async def test_one_that_cannot_be_cancelled_says_so() -> None:
    wire = Wire()
    app = console(wire, world(may_cancel=False))
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app)
        await pilot.press("C")
        await until(pilot, lambda: "cannot be cancelled at this step" in line_text(app, "status"))
        assert not wire.asked("POST", "/cancel")


async def test_it_is_live_and_the_cursor_stays_on_its_entry() -> None:
    stream = world()
    app = console(Wire(), stream)
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app)
        await pilot.press("down")
        before = here(app).table.row
        stream.say(event(12, operation("vm.stop", fleet()[0]), "operation.started"))
        await until(pilot, lambda: len(shown(app)) == 4)
        assert here(app).table.row == before
        assert shown(app)[0].target == "web-01"


async def test_plain_words_filter_operations_and_events_alike() -> None:
    app = console(Wire(), world())
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app)
        await pilot.press("slash", *"vda")
        await until(pilot, lambda: [row.type for row in shown(app)] == ["vm.crashed"])
        await pilot.press("escape", "slash", *"state:failed", "enter")
        await until(pilot, lambda: [row.what for row in shown(app)] == ["start failed"])
        await until(pilot, lambda: "1 of 3" in text(app))
        await pilot.press("escape")
        await until(pilot, lambda: len(shown(app)) == 3)


async def test_one_goes_home_and_escape_back_to_where_it_was() -> None:
    app = console(Wire(), world())
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app)
        await pilot.press("1")
        await until(pilot, lambda: loaded(app))
        to(app, "mail")
        await pilot.press("enter")
        await until(pilot, lambda: type(app.screen).__name__ == "VMPageScreen")
        await pilot.press("7")
        await until(pilot, lambda: isinstance(app.screen, ActivityScreen))
        await pilot.press("7")
        await until(pilot, lambda: "already on activity" in line_text(app, "status"))
        await pilot.press("escape")
        await until(pilot, lambda: type(app.screen).__name__ == "VMPageScreen")
        await pilot.press("7")
        await until(pilot, lambda: isinstance(app.screen, ActivityScreen))
        await pilot.press("1")
        await until(pilot, lambda: loaded(app))
        row = home(app).pane.table.row
        assert row is not None
        assert row.name == "mail"
