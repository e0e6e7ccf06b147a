"""Marks and order in the activity and the problems: what can be done to many is done to all of them, and nothing else is."""

from __future__ import annotations

from typing import Any

import msgspec

from novacron_core.api.operations import Operation
from novacron_core.api.vms import State
from novacron_tui.app import Console
from novacron_tui.screens.activity import ActivityScreen
from novacron_tui.screens.problems import ProblemsScreen
from novacron_tui.screens.vm_page import VMPageScreen
from novacron_tui.widgets.confirm import Confirm
from tests.support.console.looking import answer, line_text, loaded, react, text, to, until
from tests.support.console.past import last_night
from tests.support.console.wire import Stream, Wire, console, ok, refuse
from tests.support.console.world import fleet, host, inventory, live, operation, vm

SIZE = (120, 40)


def running(count: int) -> list[Operation]:
    """Creations that can be cancelled, and one that cannot be any more."""
    made = [operation("vm.create", vm(f"new-{n:02d}", 100 + n), may_cancel=True) for n in range(count)]
    return [*made, operation("vm.delete", vm("old", 99))]


def cancelling(ops: list[Operation]) -> Wire:
    return Wire(routes={f"POST /api/operations/{op.id}/cancel": lambda _, op=op: ok(op, 202) for op in ops})  # type: ignore[misc]


def here(app: Console) -> ActivityScreen:
    assert isinstance(app.screen, ActivityScreen)
    return app.screen


async def reach(pilot: Any, app: Console) -> ActivityScreen:
    await until(pilot, lambda: loaded(app))
    await pilot.press("7")
    await until(pilot, lambda: isinstance(app.screen, ActivityScreen) and any(not r.line for r in here(app).table.rows))
    return here(app)


def cancelled(wire: Wire) -> set[str]:
    return {call.url.path.split("/")[3] for call in wire.asked("POST", "/cancel")}


async def test_marked_operations_are_cancelled_together_and_the_others_are_counted() -> None:
    ops = running(4)
    wire = cancelling(ops)
    app = console(wire, Stream(live(), inventory(fleet(), operations=ops)))
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app)
        for name in ("new-01", "old", "new-03"):
            screen.table.select(next(row.id for row in screen.table.rows if row.target == name))
            await pilot.press("space")
        await until(pilot, lambda: "3 entries marked: C cancels what runs" in line_text(app, "status"))
        await pilot.press("C")
        await until(pilot, lambda: "Cancelling 2 operations; 1 marked cannot be cancelled" in line_text(app, "status"))
        assert cancelled(wire) == {ops[1].id, ops[3].id}
        await until(pilot, lambda: screen.table.marks == {f"operation {ops[4].id}"}, "what is done needs no mark")


async def test_what_the_server_refuses_to_cancel_is_told() -> None:
    ops = running(2)
    wire = cancelling(ops)
    wire.routes[f"POST /api/operations/{ops[0].id}/cancel"] = lambda _: refuse(409, "conflict", "it has just ended")
    app = console(wire, Stream(live(), inventory(fleet(), operations=ops)))
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app)
        await pilot.press("*", "C")
        said = "Cancelling 1 operation; 1 marked cannot be cancelled; 1 refused: new-00: it has just ended"
        await until(pilot, lambda: said in line_text(app, "status"))


async def test_cancelling_more_than_ten_asks_for_their_number() -> None:
    ops = running(12)
    wire = cancelling(ops)
    app = console(wire, Stream(live(), inventory(fleet(), operations=ops)))
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app)
        await pilot.press("*", "C")
        await until(pilot, lambda: isinstance(app.screen, Confirm) and "Cancel 12 operations?" in text(app))
        assert not cancelled(wire)
        await answer(pilot, "1", "2", "enter")
        await until(pilot, lambda: len(cancelled(wire)) == 12)


async def test_the_ids_of_the_marked_are_copied_in_one_line() -> None:
    app = console(Wire(), Stream(live(), inventory(fleet(), operations=running(3))))
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app)
        await pilot.press("space", "space", "y")
        await until(pilot, lambda: "copied 2 ids" in line_text(app, "status"))
        assert app.clipboard == " ".join(row.id.partition(" ")[2] for row in screen.table.rows[:2])


async def test_a_group_is_marked_whole_and_keeps_its_marks_when_it_is_folded() -> None:
    app = console(Wire(events=last_night()), Stream(live(), inventory(fleet(), seq=2000)))
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app)
        await until(pilot, lambda: "134 shut down" in text(app))
        await pilot.press("space")
        await until(pilot, lambda: "134 entries marked" in line_text(app, "status"))
        screen.table.select(next(row.id for row in screen.table.rows if row.folded))
        await pilot.press("enter")
        await until(pilot, lambda: len(screen.table.rows) > 134)
        await pilot.press("down", "space")
        await until(pilot, lambda: "133 entries marked" in line_text(app, "status"))
        await pilot.press("escape")
        await until(pilot, lambda: len(screen.table.rows) < 134)
        assert "133 entries marked" in line_text(app, "status")
        await pilot.press("y")
        await until(pilot, lambda: "copied 133 ids" in line_text(app, "status"))


async def test_escape_and_a_filter_never_drop_marks_silently() -> None:
    app = console(Wire(), Stream(live(), inventory(fleet(), operations=running(3))))
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app)
        await pilot.press("space", "space", "/", *"zzz")
        await until(pilot, lambda: "unmarked 2 entries that the filter hides" in line_text(app, "status"))
        await pilot.press("escape", "space", "escape")
        await until(pilot, lambda: "unmarked 1 entry" in line_text(app, "status"))
        assert app.screen is screen
        await pilot.press("escape")
        await until(pilot, lambda: loaded(app))


async def test_the_line_of_a_day_cannot_be_marked() -> None:
    app = console(Wire(events=last_night()), Stream(live(), inventory(fleet(), seq=2000)))
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app)
        await until(pilot, lambda: "134 shut down" in text(app))
        await pilot.press("home", "space")
        await until(pilot, lambda: "this line cannot be marked" in line_text(app, "status"))
        await react(pilot)
        await pilot.press("*")
        await until(pilot, lambda: "137 entries marked" in line_text(app, "status"), "the lines of days are no entries")
        assert screen.table.rows[0].id not in screen.table.marks


async def test_activity_is_sorted_by_a_column_and_goes_back_to_the_timeline() -> None:
    app = console(Wire(events=last_night()), Stream(live(), inventory(fleet(), seq=2000)))
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app)
        await until(pilot, lambda: "134 shut down" in text(app) and "CLOCK▾" in text(app))
        await pilot.press("O")
        await until(pilot, lambda: "this order cannot be reversed" in line_text(app, "status"))
        await react(pilot)
        await pilot.press("o")
        await until(pilot, lambda: len(screen.table.rows) == 137, "no days, no groups")
        kinds = [row.what for row in screen.table.rows]
        assert kinds == sorted(kinds)
        assert screen.table.cursor_at == 0
        await pilot.press("O")
        await until(pilot, lambda: screen.table.rows[0].what == "shut down")
        for _ in range(4):
            await pilot.press("o")
        await until(pilot, lambda: "134 shut down" in text(app))


async def test_the_events_of_a_vm_are_marked_and_sorted_too() -> None:
    wire = Wire(events=[e for e in last_night() if e.target.name == "mail"])
    app = console(wire, Stream(live(), inventory(fleet(), seq=2000)))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        to(app, "mail")
        await pilot.press("enter", ":", *"events", "enter")
        await until(
            pilot, lambda: isinstance(app.screen, VMPageScreen) and "crashed" in text(app) and "CLOCK" in text(app)
        )
        await pilot.press("*")
        await until(pilot, lambda: "1 entry marked" in line_text(app, "status"))
        await pilot.press("o")
        await until(pilot, lambda: "WHAT▴" in text(app))


async def test_marked_crashes_are_acknowledged_together() -> None:
    vms = [vm(f"web-{n}", n, State.CRASHED, reason="signal 11") for n in range(1, 5)]
    wire = Wire()
    app = console(wire, Stream(live(), inventory([*vms, vm("lost", 9, State.UNKNOWN)], [host()])))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app) and "▲ 5" in line_text(app, "top"))
        await pilot.press("!")
        await until(pilot, lambda: isinstance(app.screen, ProblemsScreen) and "web-4" in text(app))
        await pilot.press("*")
        await until(pilot, lambda: "5 problems marked" in line_text(app, "status"))
        await pilot.press("y")
        await until(pilot, lambda: "copied 5 ids" in line_text(app, "status"))
        await pilot.press("A")
        await until(pilot, lambda: len(wire.asked("POST", "/bulk")) == 1)
        sent = msgspec.json.decode(wire.asked("POST", "/bulk")[0].content)
        assert sent["action"] == "acknowledge"
        assert set(sent["ids"]) == {each.id for each in vms}
        await pilot.press("escape")
        await until(pilot, lambda: "unmarked 5 problems" in line_text(app, "status"))


async def test_problems_go_back_to_worst_first() -> None:
    vms = [vm("a", 1, State.UNKNOWN), vm("b", 2, State.CRASHED)]
    app = console(Wire(), Stream(live(), inventory(vms)))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app) and "▲ 2" in line_text(app, "top"))
        await pilot.press("!")
        await until(pilot, lambda: isinstance(app.screen, ProblemsScreen) and "NEXT" in text(app))
        screen = app.screen
        assert isinstance(screen, ProblemsScreen)
        first = [row.name for row in screen.table.rows]
        keys = [screen.table.sort_key]
        while len(keys) < 2 or keys[-1] != keys[0]:
            await pilot.press("o")
            keys.append(screen.table.sort_key)
        assert len(keys) > 3
        assert [row.name for row in screen.table.rows] == first


async def test_a_day_is_folded_by_its_line_and_keeps_its_marks() -> None:
    app = console(Wire(events=last_night()), Stream(live(), inventory(fleet(), seq=2000)))
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app)
        await until(pilot, lambda: "134 shut down" in text(app) and "Sun 22 Nov" in text(app))
        await pilot.press("enter", "home")
        await until(pilot, lambda: len(screen.table.rows) > 134 and "enter folds this day" in line_text(app, "status"))
        await pilot.press("enter")
        await until(pilot, lambda: "Mon 23 Nov: 136 entries" in text(app))
        assert [row.what for row in screen.table.rows if not row.line] == ["paused"], "what is of the other day"
        assert "enter unfolds this day" in line_text(app, "status")
        await pilot.press("space")
        await until(pilot, lambda: "136 entries marked" in line_text(app, "status"))
        await pilot.press("home", "enter")
        await until(pilot, lambda: len(screen.table.rows) > 134)
        assert "136 entries marked" in line_text(app, "status")
        await pilot.press("escape")
        await until(pilot, lambda: "unmarked 136 entries" in line_text(app, "status"))
