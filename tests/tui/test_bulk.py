"""One verb on many VMs by key presses: bounded, each with its own result, told in one sentence, tried again by a key."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import msgspec

from novacron_core.api.events import Event
from novacron_core.api.hosts import HostStatus
from novacron_core.api.operations import OperationState
from novacron_core.api.problem import Problem
from novacron_core.api.vms import VM, State
from novacron_tui.vms.perform import MAX_CONCURRENT
from novacron_tui.widgets.confirm import Confirm
from tests.support.console.looking import SIZE, answer, home, line_text, loaded, text, to, until
from tests.support.console.wire import Stream, Wire, console, refuse
from tests.support.console.world import OTHER_HOST_ID, event, host, inventory, live, operation, vm


def stopped(count: int) -> list[VM]:
    return [vm(f"web-{n:02}", 100 + n, State.STOPPED) for n in range(1, count + 1)]


def ended(
    vms: list[VM], seq: int, state: OperationState = OperationState.SUCCEEDED, problem: Problem | None = None
) -> list[Event]:
    """The operations that the wire has accepted for these VMs, at their end."""
    return [
        event(seq + n, operation("vm.start", v, state=state, problem=problem), "operation.ended")
        for n, v in enumerate(vms)
    ]


def routes_with(names: dict[str, httpx.Response | Exception], vms: list[VM]) -> dict[str, Any]:
    """Starts that end otherwise than accepted."""

    def answer(what: httpx.Response | Exception) -> Any:
        def route(request: httpx.Request) -> httpx.Response:
            if isinstance(what, Exception):
                raise what
            return what

        return route

    return {f"POST /api/vm/vms/{v.id}/start": answer(names[v.name]) for v in vms if v.name in names}


def accepting(vms: list[VM]) -> list[VM]:
    """The VMs as the wire names their operations: by id, since it knows no names beyond the fleet's."""
    return [vm(v.id, 1, id=v.id) for v in vms]


async def test_each_result_is_counted_and_the_refusal_told_in_its_words() -> None:
    vms = [*stopped(3), vm("web-07", 7, State.PAUSED)]
    wire, stream = Wire(), Stream(live(), inventory(vms))
    app = console(wire, stream)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("asterisk", "s")
        await until(pilot, lambda: len(wire.asked("POST", "/start")) == 3)
        await until(pilot, lambda: "3 running" in line_text(app, "status"))
        stream.say(*ended(accepting(vms[:3]), 11))
        await until(
            pilot,
            lambda: "3 started, 1 refused: web-07 is paused: resume it instead" in line_text(app, "status"),
        )


async def test_no_more_than_a_few_requests_are_under_way_at_once() -> None:
    wire = Wire(hold=asyncio.Event())
    app = console(wire, Stream(live(), inventory(stopped(12))))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("asterisk", "s")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await answer(pilot, "1", "2", "enter")
        await until(pilot, lambda: len(wire.asked("POST", "/start")) == MAX_CONCURRENT)
        await pilot.pause(0.1)
        assert len(wire.asked("POST", "/start")) == MAX_CONCURRENT
        assert wire.hold is not None
        wire.hold.set()
        await until(pilot, lambda: len(wire.asked("POST", "/start")) == 12)


async def test_the_panel_names_each_worst_first_and_tries_only_those_again() -> None:
    vms = stopped(4)
    wire, stream = Wire(), Stream(live(), inventory(vms))
    wire.routes = routes_with({"web-02": refuse(507, "quota-exceeded", "tenant default has no memory left")}, vms)
    app = console(wire, stream)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("asterisk", "s")
        await until(pilot, lambda: len(wire.asked("POST", "/start")) == 4)
        locked = Problem(title="internal", status=500, code="internal", detail="its disk is locked")
        stream.say(*ended(accepting(vms[2:3]), 11, OperationState.FAILED, locked))
        stream.say(*ended(accepting([vms[0], vms[3]]), 12))
        await until(
            pilot,
            lambda: (
                "2 started, 1 failed, 1 refused: web-03: failed: its disk is locked, and 1 more"
                in line_text(app, "status")
            ),
        )
        await pilot.press("b")
        await until(pilot, lambda: type(app.screen).__name__ == "BulkPanel")
        shown = text(app).partition("Start 4 VMs")[2]
        assert shown.index("web-03") < shown.index("web-02") < shown.index("web-01")
        assert "its disk is locked" in shown
        assert "tenant default has no memory left" in shown
        wire.calls.clear()
        await pilot.press("R")
        await until(pilot, lambda: len(wire.asked("POST", "/start")) == 2)
        assert {call.url.path.split("/")[4] for call in wire.calls} == {vms[1].id, vms[2].id}


async def test_a_press_whose_answer_never_came_is_repeated_with_the_same_key() -> None:
    vms = stopped(2)
    wire = Wire(routes=routes_with({"web-01": httpx.ConnectError("cut"), "web-02": httpx.ConnectError("cut")}, vms))
    app = console(wire, Stream(live(), inventory(vms)))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("asterisk", "s")
        await until(pilot, lambda: "2 failed" in line_text(app, "status"))
        first = {call.url.path: call.headers["Idempotency-Key"] for call in wire.asked("POST", "/start")}
        wire.routes, wire.calls[:] = {}, []
        await pilot.press("s")
        await until(pilot, lambda: len(wire.asked("POST", "/start")) == 2)
        assert {call.url.path: call.headers["Idempotency-Key"] for call in wire.asked("POST", "/start")} == first


async def test_a_vm_that_changes_before_its_turn_is_refused_not_asked_for() -> None:
    vms = stopped(6)
    wire, stream = Wire(hold=asyncio.Event()), Stream(live(), inventory(vms))
    app = console(wire, stream)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("asterisk", "s")
        await until(pilot, lambda: len(wire.asked("POST", "/start")) == MAX_CONCURRENT)
        stream.say(event(11, msgspec.structs.replace(vms[5], state=State.RUNNING), "vm.started"))
        await until(pilot, lambda: app.session is not None and app.session.store.seq == 11)
        assert wire.hold is not None
        wire.hold.set()
        await until(pilot, lambda: "1 refused: web-06 is already running" in line_text(app, "status"))
        assert len(wire.asked("POST", "/start")) == 5


async def test_results_of_nothing_are_refused_with_the_way_there() -> None:
    app = console(Wire())
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("b")
        await until(pilot, lambda: "mark VMs with space" in line_text(app, "status"))


async def test_several_hosts_have_a_column_of_names_and_the_one_that_is_down_is_named() -> None:
    hosts = [host(), host(id=OTHER_HOST_ID, name="kvm-b", status=HostStatus.DOWN)]
    lost = vm("db-01", 2, State.UNKNOWN, host=OTHER_HOST_ID)
    stream = Stream(live(), inventory([vm("web-01", 1), lost], hosts))
    app = console(Wire(), stream)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        assert "1 host up, 1 down: kvm-b" in line_text(app, "top")
        to(app, "db-01")
        (row,) = [line for line in text(app).splitlines() if "db-01" in line and "unknown" in line][:1]
        assert "kvm-b" in row
        assert "15m" in row, "for how long it has been unknown"
        stream.say(event(11, host(id=OTHER_HOST_ID, name="kvm-b"), "host.up"))
        await until(pilot, lambda: "2 hosts up" in line_text(app, "top"))
        assert home(app).pane.table.row is not None
