"""The past of a volume in its details: heat and moves, on the storage screen and on the page of its VM."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from novacron_core.api.operations import OperationState
from novacron_core.api.volumes import MoveHistory, PastMove
from novacron_tui.app import Console
from novacron_tui.screens.vm_page import VMPageScreen
from novacron_tui.terminal.glyphs import FINE
from novacron_tui.volumes.detail import move_lines
from novacron_tui.widgets.detail import Detail
from tests.support.console.looking import loaded, text, to, until
from tests.support.console.storage_looking import SIZE, reach
from tests.support.console.storage_world import history, moves, policy, storage, wire
from tests.support.console.vm_page_world import page_wire, page_world
from tests.support.console.wire import console, ok, refuse
from tests.support.console.world import NOW

MOVES = "GET /api/storage/volumes/{}/moves"


def shown(app: Console) -> str:
    return " ".join(text(app).split())


async def test_details_tell_where_a_volume_was_moved_by_whom_how_long_and_with_what_result() -> None:
    app = console(wire(), storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app, "build-cache")
        await pilot.press("enter")
        await until(pilot, lambda: "hot › cold" in text(app))
        for words in (
            "warm › hot by ada failed after 1m",
            "hot is full: 1 MiB free",
            "cold › warm by ada in 25m",
            "hot › cold by bob in 2h3m",
            "1,204,311 reads",
        ):
            assert words in shown(app), words


async def test_details_of_a_disk_on_the_page_of_its_vm_tell_the_same() -> None:
    routes = {
        "GET /api/storage/volumes/vol-1/heat": lambda _: ok(history()),
        MOVES.format("vol-1"): lambda _: ok(moves()),
        "GET /api/storage/policy": lambda _: ok(policy()),
    }
    app = console(page_wire(**routes), page_world())
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app) and app.session is not None and app.session.store.seq == 12)
        to(app, "web-01")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, VMPageScreen))
        assert app.session is not None and app.session.wanted is not None
        assert not app.session.wanted.heat
        await pilot.press(":", *"disks", "enter")
        await until(pilot, lambda: app.session is not None and app.session.policy.value is not None)
        assert app.session.wanted.heat, "the heat of its disks is kept up to date while they are shown"
        page: Any = app.screen
        page.table.move_to([entry.disk.target for entry in page.table.rows].index("vda"))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Detail) and "hot › cold" in text(app))
        for words in (
            "1,204,311 reads",
            "30 days",
            "by hour",
            "cold › warm by ada in 25m",
            "3.4 operations/s over a day",
            "0.40 per GiB and month",
            "0.40 a month",
        ):
            assert words in shown(app), words


@pytest.mark.parametrize("path", ["heat", "moves"])
async def test_what_an_older_server_does_not_know_is_left_out(path: str) -> None:
    missing = {f"GET /api/storage/volumes/vol-5/{path}": lambda _: refuse(404, "not_found", "no such path")}
    app = console(wire(**missing), storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app, "build-cache")
        await pilot.press("enter")
        there, left_out = ("hot › cold", "reads") if path == "heat" else ("1,204,311 reads", "hot › cold")
        await until(pilot, lambda: there in text(app))
        assert left_out not in text(app)


def told(*found: PastMove) -> list[str]:
    lines = move_lines(MoveHistory(moves=list(found)), NOW, FINE)
    return ["".join(piece.text for piece in line) for line in lines]


def past(**changes: Any) -> PastMove:
    base = PastMove(
        operation="o", source="hot", target="warm", state=OperationState.RUNNING, moved=False, started_at=NOW - timedelta(minutes=3)
    )  # fmt: skip
    return msgspec.structs.replace(base, **changes)


def test_moves_in_words() -> None:
    (line,) = told(past(actor="ada"))
    assert line.startswith("moves         ") and line.endswith("hot › warm  by ada for 3m so far")
    (line,) = told(past(state=OperationState.INTERRUPTED, moved=True, finished_at=NOW, source=None))
    assert line.endswith("– › warm  in 3m"), "what is in effect counts as moved, however its operation ended"
    (line,) = told(past(state=OperationState.CANCELLED, finished_at=NOW))
    assert line.endswith("hot › warm  cancelled after 3m")
    (_, why) = told(past(state=OperationState.FAILED, finished_at=NOW, reason="\x1b[31mno"))
    assert why.endswith("no")
    assert "\x1b" not in why
    assert told() == []
    many = told(*(past(operation=str(number), finished_at=NOW) for number in range(11)))
    assert (len(many), many[-1].strip()) == (9, "and 3 earlier")
