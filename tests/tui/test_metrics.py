"""The metrics screen by key presses: what it reads, what it asks the stream for, and what it does without an answer."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from novacron_core.api.events import SampleRequest
from novacron_core.api.usage import UsageTotals
from novacron_core.client import Disconnected
from novacron_core.values.sizes import GIB
from novacron_tui.app import Console
from novacron_tui.metrics.heat_map import HeatMap
from novacron_tui.screens.metrics import MetricsScreen
from novacron_tui.screens.vm_list import VMListScreen
from novacron_tui.widgets.chart import Series, chart
from tests.support.console.looking import line_text, text, until
from tests.support.console.metrics_world import measured, now, samples, wire
from tests.support.console.wire import Stream, console, ok, refuse
from tests.support.console.world import NOW, fleet, inventory, live, vm

SIZE = (140, 45)


async def reach(pilot: Any, app: Console) -> MetricsScreen:
    await until(pilot, lambda: app.session is not None and app.session.store.loaded)
    await pilot.press("5")
    await until(pilot, lambda: isinstance(app.screen, MetricsScreen) and app.screen._now is not None, "metrics")
    assert isinstance(app.screen, MetricsScreen)
    return app.screen


def asked(server: Any) -> list[Any]:
    return [call.url.params for call in server.calls if call.url.path == "/api/monitoring/history"]


async def test_totals_curves_users_and_every_vm_stand_there() -> None:
    app = console(wire(), measured())
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app)
        await until(pilot, lambda: "⠊" in text(app) or "⠒" in text(app) or "⠤" in text(app))
        shown = text(app)
        for words in ("fleet 4 VMs use 6.40 cores, memory 9 GiB of 16 GiB", "CPU", "Memory", "Disk", "Network", "-5m"):
            assert words in shown
        assert [cell for cell in screen.heat._cells if cell[1] is not None] != []
        assert len(screen.heat._cells) == len(fleet())
        assert shown.index("legacy-erp") < shown.index("db-01", shown.index("Top by CPU"))
        assert app.session is not None
        assert app.session.wanted == SampleRequest()


async def test_time_host_and_rank_are_chosen_by_keys() -> None:
    server = wire()
    app = console(server, measured())
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app)
        await pilot.press("w", "w")
        await until(pilot, lambda: any(p["from"].startswith("2026-11-22T12:00") for p in asked(server)), "24 h")
        assert "-24h" in text(app)
        await pilot.press("tab")
        await until(pilot, lambda: any(p.get("subject", "").startswith("host:") for p in asked(server)), "a host")
        await until(pilot, lambda: "kvm-a CPU 62%, memory 12 GiB of 32 GiB" in text(app))
        await until(
            pilot, lambda: "Memory  used 12 GiB of 32 GiB" in text(app) and " 32 GiB┤" in text(app), "one total"
        )
        await pilot.press("tab")
        await until(pilot, lambda: "kvm-b does not respond" in text(app))
        await pilot.press("tab", "o")
        await until(pilot, lambda: "Top by memory" in text(app))
        await pilot.press("o", "o")
        await until(pilot, lambda: "Top by network" in text(app))
        assert "in 54K out 3.0K" in text(app) or "in 53K out 2.9K" in text(app)


async def test_paused_nothing_is_asked_for_and_nothing_moves() -> None:
    server, stream = wire(), measured()
    app = console(server, stream)
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app)
        await pilot.press("p")
        await until(pilot, lambda: "PAUSED" in text(app))
        assert app.session is not None
        assert app.session.wanted is None
        next(
            behind for behind in app.screen_stack if isinstance(behind, VMListScreen)
        )._list_changed()  # late, or its rows move
        assert app.session.wanted is None
        before, cells = len(asked(server)), list(screen.heat._cells)
        stream.say(samples_of(99.0))
        await pilot.pause(0.3)
        assert screen.heat._cells == cells
        screen.read_again()
        await pilot.pause(0.2)
        assert len(asked(server)) == before
        sums = screen._now
        await pilot.press("w")
        await until(pilot, lambda: "-1h" in text(app) and "CPU  " in text(app), "another range, as of the pause")
        assert len(asked(server)) == before + 1
        assert screen._now is sums
        assert screen.heat._cells == cells
        await pilot.press("p")
        await until(pilot, lambda: len(asked(server)) > before)
        await until(pilot, lambda: screen.heat._cells != cells)
        assert app.session.wanted == SampleRequest()


def samples_of(percent: float) -> Any:
    frame = samples()
    vms = {vm_id: msgspec.structs.replace(sample, cpu_percent=percent) for vm_id, sample in frame.vms.items()}
    return msgspec.structs.replace(frame, time=NOW + timedelta(seconds=5), vms=vms)


async def test_the_sums_are_read_again_with_each_round_and_the_history_only_when_its_range_moves_on() -> None:
    server, stream = wire(), measured()
    app = console(server, stream)
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app)
        await pilot.press("w")
        await until(pilot, lambda: len(asked(server)) >= 2 and screen._history is not None)
        sums, histories = len(sums_asked(server)), len(asked(server))
        stream.say(samples_of(99.0))
        await until(pilot, lambda: len(sums_asked(server)) > sums)
        assert len(asked(server)) == histories


async def test_the_titles_of_the_charts_and_the_head_line_are_of_one_reading() -> None:
    server, stream = wire(), measured()
    app = console(server, stream)
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app)
        await until(
            pilot, lambda: "memory 9 GiB of 16 GiB" in text(app) and "Memory  used 9 GiB of 16 GiB" in text(app)
        )
        sums = msgspec.structs.replace(now().fleet, memory_used_bytes=11 * GIB, cpu_percent=71.0)
        server.routes["GET /api/monitoring/metrics"] = lambda _: ok(now(fleet=sums))
        stream.say(samples_of(99.0))
        await until(
            pilot, lambda: "memory 11 GiB of 16 GiB" in text(app) and "Memory  used 11 GiB of 16 GiB" in text(app)
        )
        assert "CPU  71%" in text(app)
        await pilot.press("tab")
        await until(pilot, lambda: "kvm-a CPU 62%" in text(app) and "used 12 GiB of 32 GiB" in text(app))
        assert "CPU  62%" in text(app)


def sums_asked(server: Any) -> list[Any]:
    return [call for call in server.calls if call.url.path == "/api/monitoring/metrics"]


async def test_the_cursor_names_a_vm_stays_on_it_and_leads_to_it() -> None:
    stream = measured()
    app = console(wire(), stream)
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app)
        await pilot.press("home", "right", "right")
        await until(pilot, lambda: "db-01 on kvm-a: CPU 44%" in line_text(app, "status"))
        here = screen.heat.vm
        stream.say(samples_of(91.0))
        await until(pilot, lambda: "CPU 91%" in line_text(app, "status"))
        assert screen.heat.vm == here
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, VMListScreen))
        assert app.screen.pane.table.row.name == "db-01"  # type: ignore[attr-defined]


async def test_away_from_it_no_numbers_are_asked_for_all_vms() -> None:
    app = console(wire(), measured())
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, VMListScreen))
        await pilot.press("7")
        await until(pilot, lambda: app.session is not None and app.session.wanted is None)


async def test_what_cannot_be_read_is_said_and_the_curves_stay() -> None:
    answers = {"fail": False}
    server = wire()
    whole = server.routes["GET /api/monitoring/history"]
    server.routes["GET /api/monitoring/history"] = lambda r: (
        refuse(503, "database_unavailable", "the database cannot be reached") if answers["fail"] else whole(r)
    )
    stream = measured()
    app = console(server, stream)
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app)
        await until(pilot, lambda: "16 GiB┤" in text(app))
        answers["fail"] = True
        screen.read_again()
        await until(pilot, lambda: "the database cannot be reached" in text(app))
        assert "16 GiB┤" in text(app)
        answers["fail"] = False
        screen.read_again()
        await until(pilot, lambda: "the database cannot be reached" not in text(app))
        stream.say(Disconnected("cut", 60.0))
        await until(pilot, lambda: "offline: showing the last received values" in line_text(app, "status"))


async def test_a_fleet_at_rest_says_so() -> None:
    nothing = wire(**{"GET /api/monitoring/metrics": lambda _: ok(now(fleet=UsageTotals()))})
    app = console(nothing, Stream(live(), inventory([])))
    async with app.run_test(size=(80, 24)) as pilot:
        await reach(pilot, app)
        assert "No metrics yet" in text(app)
        assert "no VMs yet" in line_text(app, "status")
        await pilot.press("enter", "left", "end")


async def test_more_vms_than_cells_follow_the_cursor() -> None:
    many = [vm(f"vm-{n:04}", n) for n in range(2000)]
    app = console(wire(), Stream(live(), inventory(many)))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await reach(pilot, app)
        await pilot.press("end")
        await until(pilot, lambda: "vm-1999" in line_text(app, "status"))
        assert screen.heat._top > 0
        await pilot.press("home")
        await until(pilot, lambda: "vm-0000" in line_text(app, "status"))
        assert screen.heat._top == 0


def test_a_gap_in_a_curve_is_a_gap_and_strange_numbers_do_no_harm() -> None:
    values = [10.0] * 40 + [None] * 40 + [10.0] * 40
    lines = chart("x", [Series("", values)], (70, 8), ("a", "b", "c"), top=100)
    drawn = ["".join(piece.text for piece in line) for line in lines]
    curve = next(line for line in drawn[1:] if any("\u2801" <= char <= "\u28ff" for char in line))
    inked = [at for at, char in enumerate(curve) if "\u2801" <= char <= "\u28ff"]
    assert max(after - before for before, after in itertools.pairwise(inked)) > 15
    for strange in ([], [None], [float("nan")], [float("inf"), 1.0], [0.0], [1e300], [-5.0, 3.0]):
        assert len(chart("x", [Series("", strange)], (40, 8), ("a", "b", "c"))) <= 8
    assert "–" in "".join(piece.text for piece in chart("x", [Series("", [5.0, None, None, None, None])], (40, 8), ("a", "b", "c"))[0])  # fmt: skip


def test_plain_terminals_get_plain_signs() -> None:
    lines = chart("x", [Series("", [1.0, 5.0, 3.0])], (40, 8), ("a", "b", "c"), plain=True)
    assert "".join(piece.text for line in lines for piece in line).isascii()
    heat = HeatMap(plain=True)
    assert heat._levels.isascii()


@pytest.mark.parametrize("size", [(80, 24), (140, 45)], ids=["80x24", "140x45"])
@pytest.mark.parametrize("what", ["fleet", "host", "paused", "empty"])
def test_pictures(snap_compare: Any, what: str, size: tuple[int, int]) -> None:
    stream = Stream(live(), inventory([])) if what == "empty" else measured()
    server = (
        wire(**{"GET /api/monitoring/metrics": lambda _: ok(now(fleet=UsageTotals()))}) if what == "empty" else wire()
    )
    app = console(server, stream)
    keys = {"fleet": ["w", "home", "right", "right"], "host": ["tab"], "paused": ["p"], "empty": []}[what]

    async def before(pilot: Any) -> None:
        screen = await reach(pilot, app)
        for key in keys:
            await pilot.press(key)
        await until(pilot, lambda: screen._history is not None and bool(screen._charts.lines))
        await pilot.pause(0.3)

    assert snap_compare(app, terminal_size=size, run_before=before)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("value", [1e7, 1e300, 1e308, -1e300, float("inf"), float("nan"), 0.0])
@pytest.mark.parametrize("top", [100.0, None])
def test_a_number_far_off_the_scale_neither_hangs_nor_fails(value: float, top: float | None) -> None:
    drawn = chart("CPU", [Series("", [value, 1.0, value])], (40, 8), ("a", "b", "c"), top=top)
    assert len(drawn) == 8
