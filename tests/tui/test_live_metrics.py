"""Live numbers in the list and on a VM's page: true, sorted and filtered without the cursor jumping, and asked for only
where they are looked at."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from novacron_core.api.events import SampleRequest
from novacron_core.api.vms import NIC, State
from novacron_core.values.sizes import GIB, MIB, short_size
from novacron_tui.app import Console
from novacron_tui.connection.store import key_of
from novacron_tui.screens.vm_page import VMPageScreen
from novacron_tui.widgets.rows import Rows
from novacron_tui.widgets.sparkline import sparkline
from tests.support.console.looking import home, loaded, text, until
from tests.support.console.wire import Stream, Wire, console
from tests.support.console.world import (
    HOST_ID,
    OTHER_HOST_ID,
    Clock,
    fleet,
    host,
    inventory,
    live,
    percent,
    samples,
    vm,
)

WIDE = (170, 30)


def row(app: Console, name: str) -> str:
    return next(line for line in text(app).splitlines() if f" {name} " in line)


def wanted(app: Console) -> SampleRequest | None:
    assert app.session is not None
    return app.session.wanted


def targets(app: Console) -> Any:
    request = wanted(app)
    assert request is not None
    return request.targets


async def test_the_list_shows_what_each_vm_uses_and_a_dash_where_nobody_knows() -> None:
    app = console(Wire(), Stream(live(), inventory(fleet()), samples()))
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: loaded(app) and "12%" in text(app))
        web, paused, unmanaged = row(app, "web-01"), row(app, "cache"), row(app, "legacy-erp")
        for words in ("12%", "700M/1.0G", "3.0M/410K", "1.2M/86K"):
            assert words in web
        assert "  0%" in paused and "0/0" in paused
        assert "  5%" in unmanaged and "–/1.0G" in unmanaged
        assert " 1.0G" in row(app, "staging") and "%" not in row(app, "staging")


async def test_old_numbers_go() -> None:
    clock = Clock()
    app = console(Wire(), Stream(live(), inventory(fleet()), samples()), now=clock)
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: loaded(app) and "12%" in text(app))
        clock.pass_s(31)
        await until(pilot, lambda: "12%" not in text(app))
        assert "–" in row(app, "web-01")


async def test_twins_on_two_hosts_have_their_own_numbers() -> None:
    twin = vm("web-twin", 1, host=OTHER_HOST_ID)
    hosts = [host(), host(id=OTHER_HOST_ID, name="kvm-b")]
    there = samples(only=percent(v1=77.0), host_id=OTHER_HOST_ID)
    app = console(Wire(), Stream(live(), inventory([*fleet(), twin], hosts), samples(), there))
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: loaded(app) and "77%" in text(app))
        assert "77%" in row(app, "web-twin") and "12%" in row(app, "web-01")


async def test_sorted_by_cpu_rows_move_and_the_cursor_stays_on_its_vm() -> None:
    stream = Stream(live(), inventory(fleet()), samples(only=percent(v1=10.0, v2=20.0, v3=30.0)))
    app = console(Wire(), stream)
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: loaded(app) and "30%" in text(app))
        table = home(app).pane.table
        table.sort_by("cpu", descending=True)
        await pilot.pause()
        assert [shown.name for shown in table.rows[:3]] == ["db-01", "web-02", "web-01"]
        table.select(key_of(table.rows[1]))
        assert table.row is not None
        assert table.row.name == "web-02"
        stream.say(samples(5, only=percent(v1=90.0, v2=5.0, v3=30.0)))
        await until(pilot, lambda: [shown.name for shown in table.rows[:3]] == ["web-01", "db-01", "web-02"])
        assert table.row.name == "web-02"
        assert targets(app) == "*", "where they decide the order, all numbers are needed"


async def test_another_order_sorts_the_rows_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also by a live column, where the newest numbers count: of 2,000 VMs twice is what a key may cost."""
    stream = Stream(live(), inventory(fleet()), samples(only=percent(v1=10.0, v2=20.0, v3=30.0)))
    app = console(Wire(), stream)
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: loaded(app) and "30%" in text(app))
        sorted_again: list[int] = []
        set_rows = Rows.set_rows

        def counted(self: Rows[Any], rows: Any) -> None:
            sorted_again.append(1)
            set_rows(self, rows)

        monkeypatch.setattr(Rows, "set_rows", counted)
        home(app).pane.table.sort_by("cpu", descending=True)
        await pilot.pause()
        assert [shown.name for shown in home(app).pane.table.rows[:3]] == ["db-01", "web-02", "web-01"]
        assert not sorted_again


async def test_a_filter_over_live_numbers_follows_them() -> None:
    stream = Stream(live(), inventory(fleet()), samples(only=percent(v1=10.0, v2=95.0, v3=30.0)))
    app = console(Wire(), stream)
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: loaded(app) and "95%" in text(app))
        await pilot.press("slash", *"cpu>25")
        table = home(app).pane.table
        await until(pilot, lambda: [shown.name for shown in table.rows] == ["db-01", "web-02"])
        assert targets(app) == "*"
        stream.say(samples(5, only=percent(v1=50.0, v2=5.0, v3=30.0)))
        await until(pilot, lambda: [shown.name for shown in table.rows] == ["db-01", "web-01"])


async def test_only_the_numbers_in_the_window_are_asked_for_and_none_elsewhere() -> None:
    many = [vm(f"vm-{number:04d}", number) for number in range(1000)]
    app = console(Wire(), Stream(live(), inventory(many)))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: loaded(app))
        table = home(app).pane.table
        seen = {shown.id for shown in table.rows[:36]}  # the first layout may have room for fewer
        await until(pilot, lambda: wanted(app) is not None and seen <= set(targets(app)))
        first = wanted(app)
        assert first is not None
        assert len(first.targets) <= 200
        await pilot.press("j", "j")
        assert wanted(app) is first, "a step of the cursor asks for nothing new"
        await pilot.press("G")
        await until(pilot, lambda: many[-1].id in targets(app))
        assert many[0].id not in targets(app)
        await pilot.press("7")
        await until(pilot, lambda: wanted(app) is None)
        await pilot.press("escape", "g", "enter")
        await until(pilot, lambda: wanted(app) is not None and targets(app) == [many[0].id])


async def test_the_page_says_what_it_uses_and_why_a_number_is_missing() -> None:
    app = console(Wire(), Stream(live(), inventory(fleet()), samples(), samples(20)))
    async with app.run_test(size=(140, 45)) as pilot:
        await until(pilot, lambda: loaded(app) and "93%" in text(app))
        home(app).pane.table.select(key_of(fleet()[0]))
        await pilot.press("enter")
        await until(pilot, lambda: "1.86 of 2 vCPU" in text(app))
        for words in ("93 %", "68 %", "700 MiB of 1 GiB", "3.0M/s read", "54 IOPS", "1.2M/s in"):
            assert words in text(app), words
        await pilot.press("escape")
        home(app).pane.table.select(key_of(fleet()[6]))
        await pilot.press("enter")
        await until(pilot, lambda: "balloon driver reports nothing" in text(app))
        await pilot.press("escape")
        home(app).pane.table.select(key_of(fleet()[7]))
        await pilot.press("enter")
        await until(pilot, lambda: "No metrics: VM is stopped" in text(app))


def test_a_sparkline_has_dots_for_zero_and_none_for_nothing() -> None:
    assert sparkline([0, 25, 50, 100], 3) == " ⣀⣼"
    assert sparkline([None, None, 100, None], 2) == " ⡇"
    assert sparkline([100] * 99, 2) == "⣿⣿"
    assert sparkline([], 3) == "   "
    assert sparkline([1000, -5, 7], 4, plain=True) == " #.."
    assert sparkline([5], 1, top=0) == "⢀"


@pytest.mark.parametrize(
    ("size", "short"),
    [(None, "–"), (0, "0"), (999, "999"), (1000, "1.0K"), (10_189, "10K"), (45 * MIB, "45M"), (1023 * MIB, "1.0G"),
     (16 * GIB, "16G"), (2**63, "8192P")],
)  # fmt: skip
def test_short_sizes(size: float | None, short: str) -> None:
    assert short_size(size) == short


def test_a_vm_that_does_not_run_shows_no_old_number() -> None:
    from novacron_tui.connection.samples import SampleStore
    from novacron_tui.terminal.glyphs import FINE
    from novacron_tui.vms.live import LiveColumns

    held = SampleStore(Clock())
    held.apply(samples(only=percent(v1=50.0)))
    cpu = LiveColumns(FINE, held).columns()[0]
    running = vm("web-01", 1)
    stopped = msgspec.structs.replace(running, state=State.STOPPED)
    assert running.host == HOST_ID
    assert [bool(cpu.cell(one)) for one in (running, stopped)] == [True, False]
    assert cpu.sort is not None
    assert [cpu.sort(one) for one in (running, stopped)] == [50.0, None]


async def test_a_vms_page_on_120_columns_cuts_neither_its_numbers_nor_its_address() -> None:
    named = vm("web-01", 1, nics=[NIC(mac="52:54:00:18:36:9d", network="default", addresses=["192.168.122.101"])])
    app = console(Wire(), Stream(live(), inventory([named]), samples()))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: loaded(app) and "12%" in text(app))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, VMPageScreen) and "0.24 of 2 vCPU" in text(app))
        assert "700 MiB of 1 GiB" in text(app)
        assert "192.168.122.101" in text(app)
