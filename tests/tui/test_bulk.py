"""One action on many VMs by key presses: one request, the server's results, stopped and tried again by a key."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import msgspec
import pytest

from novacron_core.api.hosts import HostStatus
from novacron_core.api.operations import BulkCounts, BulkItem, BulkItemState, OperationState
from novacron_core.api.problem import Problem
from novacron_core.api.vms import VM, BulkRequest, State
from novacron_tui.app import Console
from novacron_tui.servers.server_ref import OwnAccount, ServerRef
from tests.support.console.looking import SIZE, home, line_text, loaded, text, to, until
from tests.support.console.wire import Stream, Wire, console, refuse
from tests.support.console.world import NOW, OTHER_HOST_ID, bulk, event, host, inventory, live, operation, vm

END = {"state": OperationState.SUCCEEDED, "finished_at": NOW, "may_cancel": False}


def stopped(count: int) -> list[VM]:
    return [vm(f"web-{n:02}", 100 + n, State.STOPPED) for n in range(1, count + 1)]


def failed(detail: str) -> dict[str, Any]:
    problem = Problem(title="Conflict", status=409, code="conflict", detail=detail)
    return {**END, "state": OperationState.FAILED, "problem": problem}


def item(vm: VM, position: int, state: BulkItemState, reason: str = "") -> BulkItem:
    return BulkItem(position=position, vm_id=vm.id, name=vm.name, state=state, host=vm.host, reason=reason)


def requests(wire: Wire) -> list[BulkRequest]:
    return [msgspec.json.decode(call.content, type=BulkRequest) for call in wire.asked("POST", "/bulk")]


def front(app: Console) -> str:
    return type(app.screen).__name__


async def test_one_request_names_all_that_allow_it_and_the_refusal_is_told_in_its_words() -> None:
    vms = [*stopped(3), vm("web-07", 7, State.PAUSED)]
    wire, stream = Wire(), Stream(live(), inventory(vms))
    app = console(wire, stream)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("asterisk", "s")
        await until(pilot, lambda: len(requests(wire)) == 1)
        (request,) = requests(wire)
        assert (request.action, request.ids) == ("start", [v.id for v in vms[:3]])
        stream.say(event(11, bulk("vm.start", 3, counts=BulkCounts(succeeded=1, running=2)), "operation.updated"))
        await until(pilot, lambda: "starting 4: 1 done, 2 running, 1 refused" in line_text(app, "status"))
        stream.say(event(12, bulk("vm.start", 3, counts=BulkCounts(succeeded=3), **END), "operation.succeeded"))
        await until(
            pilot,
            lambda: "3 started, 1 refused: web-07 is paused: resume it instead" in line_text(app, "status"),
        )


async def test_marks_stay_only_on_what_was_not_changed() -> None:
    vms = stopped(4)
    wire, stream = Wire(), Stream(live(), inventory(vms))
    app = console(wire, stream)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("asterisk", "s")
        await until(pilot, lambda: "bulk-1" in wire.items)
        states = [BulkItemState.SUCCEEDED, BulkItemState.FAILED, BulkItemState.SUCCEEDED, BulkItemState.SUCCEEDED]
        wire.items["bulk-1"] = [item(v, n, state) for n, (v, state) in enumerate(zip(vms, states, strict=True))]
        counts, end = BulkCounts(succeeded=3, failed=1), failed("3 started, 1 failed: web-02: its disk is locked")
        stream.say(event(11, bulk("vm.start", 4, counts=counts, **end), "operation.failed"))
        await until(pilot, lambda: [v.name for v in home(app).pane.table.marked()] == ["web-02"])
        assert "3 started, 1 failed: web-02: its disk is locked" in line_text(app, "status")


async def test_the_panel_names_each_worst_first_and_tries_only_those_again() -> None:
    vms = stopped(4)
    wire, stream = Wire(), Stream(live(), inventory(vms))
    app = console(wire, stream)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("asterisk", "s")
        await until(pilot, lambda: "bulk-1" in wire.items)
        await pilot.press("b")
        await until(pilot, lambda: front(app) == "BulkPanel")
        await pilot.press("R")
        await until(pilot, lambda: "retry is for the end" in text(app))
        wire.items["bulk-1"] = [
            item(vms[0], 0, BulkItemState.SUCCEEDED),
            item(vms[1], 1, BulkItemState.REFUSED, "tenant default has no memory left"),
            item(vms[2], 2, BulkItemState.FAILED, "its disk is locked"),
            item(vms[3], 3, BulkItemState.SUCCEEDED),
        ]
        counts = BulkCounts(succeeded=2, failed=1, refused=1)
        end = failed("2 started, 1 failed, 1 refused: web-03: its disk is locked, and 1 more")
        stream.say(event(11, bulk("vm.start", 4, counts=counts, **end), "operation.failed"))
        await until(pilot, lambda: "tenant default has no memory left" in text(app))
        shown = text(app).partition("Start 4 VMs")[2]
        assert shown.index("web-03") < shown.index("web-02") < shown.index("web-01")
        assert "its disk is locked" in shown
        assert "kvm-a" in shown, "the host of each"
        await pilot.press("R")
        await until(pilot, lambda: len(requests(wire)) == 2)
        assert requests(wire)[1].ids == [vms[2].id, vms[1].id]


async def test_a_press_whose_answer_never_came_is_repeated_with_the_same_key() -> None:
    def cut(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("cut")

    wire = Wire(routes={"POST /api/vm/vms/bulk": cut})
    app = console(wire, Stream(live(), inventory(stopped(2))))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("asterisk", "s")
        await until(pilot, lambda: "start 2 VMs: " in line_text(app, "status"))
        keys = {call.headers["Idempotency-Key"] for call in wire.asked("POST", "/bulk")}
        wire.routes = {}
        await pilot.press("s")
        await until(pilot, lambda: bool(wire.items))
        assert {call.headers["Idempotency-Key"] for call in wire.asked("POST", "/bulk")} == keys
        assert len(keys) == 1


async def test_a_refused_bulk_says_why_and_a_second_press_meanwhile_is_refused() -> None:
    wire = Wire(hold=asyncio.Event())
    wire.routes = {"POST /api/vm/vms/bulk": lambda _: refuse(422, "validation_failed", "ids: at most 5000")}
    app = console(wire, Stream(live(), inventory(stopped(3))))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("asterisk", "s")
        await until(pilot, lambda: len(requests(wire)) == 1)
        await pilot.press("s")
        await until(pilot, lambda: "already has a request in progress" in line_text(app, "status"))
        assert wire.hold is not None
        wire.hold.set()
        await until(pilot, lambda: "start 3 VMs: ids: at most 5000" in line_text(app, "status"))
        assert len(requests(wire)) == 1


async def test_c_stops_the_rest_from_the_list_and_from_the_panel() -> None:
    vms = stopped(12)
    wire, stream = Wire(), Stream(live(), inventory(vms))
    app = console(wire, stream)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("C")
        await until(pilot, lambda: "no bulk action has VMs that are still queued" in line_text(app, "status"))
        running = bulk("vm.start", 12, counts=BulkCounts(succeeded=3, running=4, queued=5))
        stream.say(event(11, running, "operation.updated"))
        await pilot.press("escape")
        line = "starting 12: 3 done, 4 running, 5 queued   C stops the rest   b results"
        await until(pilot, lambda: line in line_text(app, "status"))
        await pilot.press("C")
        await until(pilot, lambda: len(wire.asked("POST", "/api/operations/bulk-1/cancel")) == 1)
        await pilot.press("b")
        await until(pilot, lambda: front(app) == "BulkPanel")
        await pilot.press("C")
        await until(pilot, lambda: len(wire.asked("POST", "/api/operations/bulk-1/cancel")) == 2)
        rest = bulk("vm.start", 12, counts=BulkCounts(succeeded=3, running=4, cancelled=5), may_cancel=False)
        stream.say(event(12, rest, "operation.updated"))
        await until(pilot, lambda: "5 cancelled" in text(app))
        await pilot.press("C")
        await until(pilot, lambda: "no VM is queued any more" in text(app))


async def test_results_of_an_earlier_console_and_of_another_person_are_opened() -> None:
    theirs = bulk("vm.stop", 2, id="bulk-9", actor="bob", counts=BulkCounts(succeeded=2), **END)
    wire = Wire(items={"bulk-9": [item(v, n, BulkItemState.SUCCEEDED) for n, v in enumerate(stopped(2))]})
    app = console(wire, Stream(live(), inventory(stopped(2), operations=[theirs])))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("b")
        await until(pilot, lambda: front(app) == "BulkPanel" and "web-02" in text(app))
        assert "Shut down 2 VMs by bob" in text(app)
        await pilot.press("R")
        await until(pilot, lambda: "nothing to retry" in text(app))


async def test_leaving_says_that_the_server_goes_on_and_how_to_stop_it(capsys: pytest.CaptureFixture[str]) -> None:
    running = bulk("vm.stop", 134, counts=BulkCounts(succeeded=50, running=11, queued=73))
    app = console(Wire(), Stream(live(), inventory(stopped(2), operations=[running])))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("q")
        await until(pilot, lambda: app._exit)
    said = "The server continues: 11 running, 73 queued. Nothing is lost.\nnovacron op cancel bulk-1 --profile local stops the rest."
    assert said in capsys.readouterr().err


async def test_leaving_a_demo_does_not_say_that_its_server_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    running = bulk("vm.stop", 134, counts=BulkCounts(succeeded=50, running=11, queued=73))
    app = console(Wire(), Stream(live(), inventory(stopped(2), operations=[running])))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        assert app.session is not None
        app.session.use_server(ServerRef("http://127.0.0.1:41234", "demo", account=OwnAccount("ann", "a-password")))
        await pilot.press("q")
        await until(pilot, lambda: app._exit)
    assert "continues" not in capsys.readouterr().err


async def test_activity_shows_a_bulk_in_one_row_that_opens_its_results() -> None:
    vms = stopped(2)
    children = [operation("vm.start", v, parent="bulk-1") for v in vms]
    running = bulk("vm.start", 2, counts=BulkCounts(running=2), step="2 running")
    wire = Wire(items={"bulk-1": [item(v, n, BulkItemState.RUNNING) for n, v in enumerate(vms)]})
    other = operation("vm.pause", vm("db-01", 3))
    app = console(wire, Stream(live(), inventory(vms, operations=[running, *children, other])))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("7")
        await until(pilot, lambda: "2 VMs" in text(app))
        assert "web-01" not in text(app)
        assert "db-01" in text(app)
        table: Any = app.screen.query_one("#activity")
        table.move_to([row.target for row in table.rows].index("2 VMs"))
        await pilot.press("enter")
        await until(pilot, lambda: front(app) == "BulkPanel" and "web-01" in text(app))


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
