"""Of the screens that lie on each other only the topmost draws, speaks and asks for numbers, be it below a question."""

from __future__ import annotations

import msgspec
import pytest

from novacron_core.api.operations import OperationState
from novacron_tui.screens.vm_list import VMList
from novacron_tui.screens.vm_page import VMPage
from novacron_tui.widgets.confirm import Confirm
from tests.tui.looking import SIZE, line_text, loaded, to, until
from tests.tui.wire import Stream, Wire, console
from tests.tui.world import event, fleet, inventory, live, operation


async def test_a_page_tells_how_it_went_and_the_list_below_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[VMList] = []
    stream = Stream(live(), inventory(fleet()))
    app = console(Wire(), stream)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        to(app, "staging")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, VMPage))
        monkeypatch.setattr(VMList, "refresh_body", lambda self: drawn.append(self))
        await pilot.press("s")
        await until(pilot, lambda: "staging: starting accepted" in line_text(app, "status"))
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
