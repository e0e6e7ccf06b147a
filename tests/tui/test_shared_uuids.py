"""One UUID on two hosts: two rows, each with its own cursor, mark and page, and neither can be changed."""

from __future__ import annotations

import msgspec

from novacron_core.api.operations import BulkCounts, OperationState
from novacron_core.api.vms import State
from novacron_tui.screens.vm_list import VMListScreen
from tests.support.console.looking import SIZE, home, line_text, loaded, text, until
from tests.support.console.wire import Stream, Wire, console
from tests.support.console.world import HOST_ID, OTHER_HOST_ID, bulk, event, gone, host, inventory, live, vm

HOSTS = [host(), host(id=OTHER_HOST_ID, name="kvm-b")]
ONE = vm("web", 60, State.STOPPED, duplicate_on=[OTHER_HOST_ID])
TWO = vm("web", 60, State.STOPPED, host=OTHER_HOST_ID, duplicate_on=[HOST_ID])
OTHER = vm("zebra", 61, State.STOPPED)


async def test_both_are_listed_told_of_and_refused_with_the_reason() -> None:
    wire, stream = Wire(), Stream(live(), inventory([ONE, TWO, OTHER], HOSTS))
    app = console(wire, stream)
    async with app.run_test(size=(140, 30)) as pilot:
        await until(pilot, lambda: loaded(app))
        assert text(app).count("web shared") == 2
        assert f"{ONE.id}  also on kvm-b" in line_text(app, "status")
        await pilot.press("down", "s")
        await until(pilot, lambda: "web has the same UUID as a VM on another host" in line_text(app, "status"))
        await pilot.press("enter")
        await until(pilot, lambda: "same UUID on kvm-a" in text(app))
        stream.say(event(11, msgspec.structs.replace(TWO, name="web-of-b"), "vm.updated"))
        await until(pilot, lambda: "web-of-b" in text(app))
        stream.say(gone(12, ONE), event(13, msgspec.structs.replace(TWO, duplicate_on=[]), "vm.updated"))
        await until(pilot, lambda: "same UUID on" not in text(app))
        await pilot.press("s")
        await until(pilot, lambda: len(wire.asked("POST", f"{TWO.id}/start")) == 1)


async def test_cursor_and_mark_are_on_one_of_them() -> None:
    stream = Stream(live(), inventory([ONE, TWO, OTHER], HOSTS))
    app = console(Wire(), stream)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        table = home(app).pane.table
        await pilot.press("down", "space", "up")
        assert [(v.name, v.host) for v in table.marked()] == [("web", OTHER_HOST_ID)]
        stream.say(event(11, vm("aaa", 62), "vm.created"), gone(12, ONE))
        await until(pilot, lambda: len(table.rows) == 3)
        assert isinstance(app.screen, VMListScreen)
        assert table.row is not None
        assert (table.row.name, table.row.host) == ("web", OTHER_HOST_ID)
        assert [v.host for v in table.marked()] == [OTHER_HOST_ID]


async def test_a_bulk_refuses_both_by_name_and_does_the_rest() -> None:
    wire, stream = Wire(), Stream(live(), inventory([ONE, TWO, OTHER], HOSTS))
    app = console(wire, stream)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("asterisk", "s")
        await until(pilot, lambda: "2 refused" in line_text(app, "status"))
        assert [item.vm_id for item in wire.items["bulk-1"]] == [OTHER.id]
        stream.say(
            event(
                11,
                bulk("vm.start", 1, state=OperationState.SUCCEEDED, counts=BulkCounts(succeeded=1)),
                "operation.succeeded",
            )
        )
        await until(pilot, lambda: "another host" in line_text(app, "status"))
