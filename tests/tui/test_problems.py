"""`!`: everything that is wrong in one list, worst first, each row with its next step as a key."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from novacron_core.api.events import Event
from novacron_core.api.hosts import HostStatus
from novacron_core.api.operations import BulkCounts, Operation, OperationState, Target
from novacron_core.api.problem import Problem as Answer
from novacron_core.api.stored_events import StoredEvent
from novacron_core.api.vms import State
from novacron_core.client import Connected
from novacron_tui.app import Console
from novacron_tui.problems.entries import FULL, problems
from novacron_tui.screens.problems import ProblemsScreen
from novacron_tui.screens.vm_list import VMListScreen
from novacron_tui.screens.vm_page import VMPageScreen
from tests.support.console.looking import line_text, loaded, text, until
from tests.support.console.storage_world import pool, stored
from tests.support.console.wire import Stream, Wire, console
from tests.support.console.world import NOW, OTHER_HOST_ID, bulk, event, host, inventory, live, operation, vm

SIZE = (140, 30)


def kinds(app: Console) -> list[str]:
    assert app.session is not None
    return [problem.kind for problem in problems(app.session.store)]


def failed(kind: str, vm_number: int, minutes: float, state: OperationState = OperationState.FAILED) -> Operation:
    target = vm(f"vm-{vm_number}", vm_number)
    at = NOW - timedelta(minutes=minutes)
    why = Answer(title="conflict", status=409, code="conflict", detail="its disk is locked")
    return msgspec.structs.replace(
        operation(kind, target, state=state), id=f"op-{kind}-{vm_number}-{minutes}", created_at=at, started_at=at,
        finished_at=at, problem=why if state is OperationState.FAILED else None,
    )  # fmt: skip


async def test_vms_that_need_an_operator_are_listed_with_their_next_key() -> None:
    vms = [
        vm("calm", 1),
        vm("asleep", 2, State.PAUSED),
        vm("web-02", 3, State.CRASHED, reason="signal 11"),
        vm("db-01", 4, State.PAUSED, reason="I/O error"),
        vm("lost", 5, State.UNKNOWN),
    ]
    wire = Wire()
    app = console(wire, Stream(live(), inventory(vms)))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app) and "3 problems" in line_text(app, "top"))
        await pilot.press("!")
        await until(pilot, lambda: isinstance(app.screen, ProblemsScreen) and "NEXT" in text(app))
        shown = text(app)
        assert "setup token" not in shown, "what the operator has done is no news"
        for words in ("crashed", "signal 11", "s starts it", "paused", "I/O error", "p resumes it", "unknown"):
            assert words in shown, words
        assert "calm" not in shown
        assert "asleep" not in shown
        screen = app.screen
        assert isinstance(screen, ProblemsScreen)
        screen.table.move_to([row.name for row in screen.table.rows].index("db-01"))
        await pilot.press("p")
        await until(pilot, lambda: len(wire.asked("POST", "/resume")) == 1)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, VMPageScreen))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ProblemsScreen))
        await pilot.press("escape")
        await until(pilot, lambda: loaded(app))


async def test_a_crash_that_is_all_that_is_left_of_a_transient_vm_is_acknowledged_in_the_list() -> None:
    gone = vm("gone", 3, State.CRASHED, reason="ended unexpectedly", transient=True, unmanaged=True)
    wire = Wire()
    app = console(wire, Stream(live(), inventory([gone])))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app) and "1 problem " in line_text(app, "top"))
        await pilot.press("!")
        await until(pilot, lambda: "A acknowledges it" in text(app))
        await pilot.press("s")
        await until(pilot, lambda: "because it was transient: acknowledge the crash instead" in text(app))
        await pilot.press("A")
        await until(pilot, lambda: len(wire.asked("POST", "/acknowledge")) == 1)


async def test_a_host_that_is_down_is_one_problem_and_leads_to_its_vms() -> None:
    vms = [vm(f"vm-{number}", number, State.UNKNOWN, host=OTHER_HOST_ID) for number in range(20)]
    away = host(id=OTHER_HOST_ID, name="kvm-b", status=HostStatus.DOWN, detail="connection refused")
    stream = Stream(live(), inventory([*vms, vm("here", 30)], [host(), away]))
    app = console(Wire(), stream)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app) and "1 problem " in line_text(app, "top"))
        assert kinds(app) == ["host down"]
        await pilot.press("!")
        await until(pilot, lambda: "20 VMs unknown: connection refused" in text(app))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, VMListScreen) and app.screen.pane.filter.text != "")
        assert "here" not in text(app)


async def test_a_failed_operation_is_a_problem_for_a_day_unless_it_has_succeeded_since() -> None:
    ops = [
        failed("vm.start", 1, 10),
        failed("vm.start", 2, 20),
        failed("vm.start", 2, 5, OperationState.SUCCEEDED),
        failed("vm.stop", 3, 60 * 25),
        failed("vm.stop", 4, 30, OperationState.CANCELLED),
    ]
    app = console(Wire(), Stream(live(), inventory([vm("a", 1)], operations=ops)))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app) and "1 problem " in line_text(app, "top"))
        await pilot.press("!")
        await until(pilot, lambda: "start failed" in text(app) and "its disk is locked" in text(app))
        await pilot.press("enter")
        await until(pilot, lambda: "its disk is locked" in text(app) and "esc closes" in text(app))


async def test_a_bulk_that_was_only_refused_is_no_problem() -> None:
    why = Answer(title="conflict", status=409, code="conflict", detail="2 refused: a is running, and 1 more")
    refused = bulk(
        "vm.resume", 2, state=OperationState.REFUSED, counts=BulkCounts(refused=2), problem=why, finished_at=NOW
    )
    app = console(Wire(), Stream(live(), inventory([vm("a", 1)], operations=[refused, failed("vm.stop", 4, 30)])))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app) and "1 problem " in line_text(app, "top"))
        assert kinds(app) == ["shutdown failed"]


async def test_a_failed_bulk_is_called_by_what_it_did_to_each_vm() -> None:
    bulk = msgspec.structs.replace(failed("vm.bulk", 1, 10), child_kind="vm.stop")
    app = console(Wire(), Stream(live(), inventory([vm("a", 1)], operations=[bulk])))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        assert kinds(app) == ["shutdown failed"]


async def test_pools_and_the_server_itself_are_listed_too() -> None:
    full = pool("hot", capacity_bytes=1000, available_bytes=round(1000 * (1 - FULL)) - 1)
    gone = pool("warm", active=False, problem="its directory is missing")
    hello = msgspec.structs.replace(live().hello, degraded=["metrics"])
    strange = pool(None, "iso-of-somebody", active=False, problem="its directory is missing")
    app = console(Wire(), Stream(Connected(hello), stored(pools=[full, gone, strange])))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        found = kinds(app)
        assert {"pool nearly full", "pool inactive", "task failing"} <= set(found)
        await pilot.press("!")
        await until(pilot, lambda: "its directory is missing" in text(app) and "metrics" in text(app))
        assert "iso-of-somebody" not in text(app), "nobody here uses it"


async def test_without_a_problem_the_list_says_so_and_the_top_line_is_calm() -> None:
    stream = Stream(live(), inventory([vm("calm", 1)]))
    app = console(Wire(), stream)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        assert "problem" not in line_text(app, "top")
        await pilot.press("!")
        await until(pilot, lambda: "no problems" in text(app))
        stream.say(event(11, vm("calm", 1, State.CRASHED), "vm.crashed"))
        await until(pilot, lambda: "1 problem " in line_text(app, "top") and "starts it" in text(app))


async def test_a_click_on_a_number_of_the_top_line_filters_by_it() -> None:
    vms = [vm("calm", 1), vm("web-02", 3, State.CRASHED), vm("off", 4, State.STOPPED)]
    app = console(Wire(), Stream(live(), inventory(vms)))
    async with app.run_test(size=(160, 30)) as pilot:
        await until(pilot, lambda: loaded(app) and "stopped" in line_text(app, "top"))
        await pilot.click("#top", offset=(line_text(app, "top").index("1 stopped"), 0))
        await until(pilot, lambda: loaded(app) and "calm" not in text(app) and "off" in text(app))
        await pilot.click("#top", offset=(line_text(app, "top").index("1 problem"), 0))
        await until(pilot, lambda: isinstance(app.screen, ProblemsScreen))


async def test_the_reasons_are_listed_at_80_columns_too() -> None:
    vms = [vm("web-02", 3, State.CRASHED, reason="signal 11"), vm("db-01", 4, State.PAUSED, reason="I/O error on vda")]
    app = console(Wire(), Stream(live(), inventory(vms)))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: loaded(app) and "▲ 2" in line_text(app, "top"))
        await pilot.press("!")
        await until(pilot, lambda: isinstance(app.screen, ProblemsScreen) and "NEXT" in text(app))
        listed = text(app).rpartition("NEXT")[2].rpartition("web-02: crashed")[0]  # above the status line
        for words in ("signal 11", "I/O error on vda", "s starts it", "p resumes it"):
            assert words in listed, words


async def test_security_warnings_reach_administrators_live_and_from_before() -> None:
    eve = Target(type="user", id="u-eve", name="eve")
    before = StoredEvent(
        seq=5, id="w-1", type="access.warning", source="access", time=NOW - timedelta(hours=2), target=eve,
        note="ten sign-ins of eve have failed",
    )  # fmt: skip
    old = msgspec.structs.replace(before, id="w-0", time=NOW - timedelta(hours=30))
    own = msgspec.structs.replace(before, id="w-2", note="the setup token was used", actor="ada")
    stream = Stream(live(), inventory([vm("calm", 1)]))
    app = console(Wire(events=[before, old, own]), stream)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app) and "1 problem" in line_text(app, "top"))
        now = Event(
            seq=11, id="w-3", type="access.warning", source="access", target=eve, time=NOW,
            note="a refresh token of eve was used twice",
        )  # fmt: skip
        stream.say(now)
        await until(pilot, lambda: "2 problems" in line_text(app, "top"))
        await pilot.press("!")
        await until(pilot, lambda: isinstance(app.screen, ProblemsScreen) and "NEXT" in text(app))
        shown = text(app)
        for words in ("security warning", "a refresh token of eve was used twice", "ten sign-ins of eve have failed"):
            assert words in shown, words
        await pilot.press("enter")
        await until(pilot, lambda: type(app.screen).__name__ == "AuditScreen")
