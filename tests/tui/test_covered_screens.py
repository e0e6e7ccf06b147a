"""Of the screens that lie on each other only the topmost draws, speaks and asks for numbers, be it below a question."""

from __future__ import annotations

import msgspec
import pytest

from novacron_core.api.operations import OperationState
from novacron_tui.screens.activity import ActivityScreen
from novacron_tui.screens.metrics import MetricsScreen
from novacron_tui.screens.storage import StorageScreen
from novacron_tui.screens.vm_list import VMListScreen
from novacron_tui.screens.vm_page import VMPageScreen
from novacron_tui.widgets.confirm import Confirm
from tests.support.console.looking import SIZE, line_text, loaded, to, until
from tests.support.console.metrics_world import wire as metrics_wire
from tests.support.console.storage_world import storage, wire
from tests.support.console.wire import Stream, Wire, console
from tests.support.console.world import event, fleet, inventory, live, operation


async def test_a_page_tells_how_it_went_and_the_list_below_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[VMListScreen] = []
    stream = Stream(live(), inventory(fleet()))
    app = console(Wire(), stream)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        to(app, "staging")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, VMPageScreen))
        monkeypatch.setattr(VMListScreen, "refresh_body", lambda self: drawn.append(self))
        await pilot.press("s")
        await until(pilot, lambda: "Starting staging…" in line_text(app, "status"))
        op = operation("vm.start", fleet()[7])
        stream.say(event(11, op, "operation.started"))
        ended = msgspec.structs.replace(op, state=OperationState.SUCCEEDED, finished_at=op.created_at)
        stream.say(event(12, ended, "operation.succeeded"))
        await until(pilot, lambda: "staging: started in 0 ms" in line_text(app, "status"))
        assert drawn == []
        assert app.session is not None and app.session.wanted is not None
        assert app.session.wanted.targets == [fleet()[7].id]


async def test_below_a_question_the_picture_goes_on() -> None:
    stream = Stream(live(), inventory(fleet()))
    app = console(Wire(), stream)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        home = app.screen
        to(app, fleet()[0].name)
        await pilot.press("X")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        stream.say(event(11, operation("vm.start", fleet()[7]), "operation.started"))
        await until(pilot, lambda: "1 operation" in home.query_one("#top").text)  # type: ignore[attr-defined]


async def test_a_screen_that_was_closed_is_told_nothing_more() -> None:
    """Textual calls `on_mount` of each class by itself: one that called its base's as well was registered twice."""
    app = console(wire(**metrics_wire().routes), storage())
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        session = app.session
        assert session is not None
        before = list(session._watchers)
        for key, board in (("4", StorageScreen), ("5", MetricsScreen), ("7", ActivityScreen), ("enter", VMPageScreen)):
            await pilot.press(key)
            await until(pilot, lambda board=board: isinstance(app.screen, board))  # type: ignore[misc]
            await until(pilot, lambda: len(session._watchers) == len(before) + 1, "told once")
            await pilot.press("escape")
            await until(pilot, lambda: loaded(app) and session._watchers == before, "told no more")
