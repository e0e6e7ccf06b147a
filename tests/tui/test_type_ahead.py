"""Keys in a burst, as a slow line brings them: all at once. None may reach what the one before it is leaving."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from textual.events import Key, Paste
from textual.keys import _character_to_key
from textual.widgets import Input

from novacron_tui.app import Console
from novacron_tui.servers.server_ref import ServerRef
from novacron_tui.terminal.type_ahead import TypeAhead
from novacron_tui.vms.create import CreateVMForm
from tests.support.console.looking import line_text, text, until
from tests.support.console.wire import Stream, Wire, console
from tests.support.console.world import PASSWORD, VIEWER, fleet, inventory, live

SIZE = (100, 32)
NAMED = {"\r": "enter", "\t": "tab", " ": "space"}


def burst(app: Console, keys: str) -> None:
    """Every key in the app's queue before it has seen the first."""
    for character in keys:
        key = NAMED.get(character) or _character_to_key(character)
        app.post_message(Key(key, character))


def has_form(app: Console, name: str) -> bool:
    return bool(app.screen.query(f"{name} Input")) and app.screen.focused is not None


def at_home(app: Console) -> bool:
    return type(app.screen).__name__ == "VMListScreen" and app.session is not None and app.session.store.loaded


def changes(wire: Wire) -> list[str]:
    return [f"{call.method} {call.url.path}" for call in wire.calls if call.method != "GET"]


@pytest.mark.parametrize("onward", ["\r", "\t"])
async def test_a_user_and_a_password_in_one_burst(onward: str) -> None:
    wire = Wire()
    app = console(wire, token="")
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: has_form(app, "SignInForm"))
        burst(app, f"ann{onward}{PASSWORD}\rxyz")
        await until(pilot, lambda: at_home(app), "home")
        assert json.loads(wire.asked("POST", "/auth/login")[0].content) == {"username": "ann", "password": PASSWORD}
        assert len(changes(wire)) == 1, "what came after is no command"


async def test_a_paste_keeps_its_turn() -> None:
    wire = Wire()
    app = console(wire, token="")
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: has_form(app, "SignInForm"))
        burst(app, "ann\r")
        app.post_message(Paste(PASSWORD))
        burst(app, "\r")
        await until(pilot, lambda: at_home(app), "home")


async def test_back_and_forth_in_the_first_run_form() -> None:
    wire = Wire(setup_required=True)
    app = console(wire, token="", place=ServerRef("http://127.0.0.1:8090", setup_token=lambda: "one-time-token"))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: has_form(app, "FirstRunForm"))
        app.post_message(Key("shift+tab", None))
        app.post_message(Key("ctrl+u", None))
        burst(app, f"ann\r{PASSWORD}\r{PASSWORD}\r\r")
        await until(pilot, lambda: at_home(app), "home")
        sent = json.loads(wire.asked("POST", "/auth/register")[0].content)
        assert sent == {"username": "ann", "password": PASSWORD, "setup_token": "one-time-token"}


class SlowPlace:
    """A server that is still starting."""

    def __init__(self, wire: Wire, **options: Any) -> None:
        self.ready = asyncio.Event()
        self.app = console(wire, **options)
        self.app._open_server = self._open

    async def _open(self) -> ServerRef:
        await self.ready.wait()
        return ServerRef("http://127.0.0.1:8090", setup_token=lambda: "one-time-token")


async def test_typed_before_the_form_is_there_goes_to_its_first_field() -> None:
    wire = Wire()
    slow = SlowPlace(wire, token="")
    async with slow.app.run_test(size=SIZE) as pilot:
        burst(slow.app, f"ann\r{PASSWORD}\r")
        await pilot.pause(0.2)
        slow.ready.set()
        await until(pilot, lambda: at_home(slow.app), "home")
        assert json.loads(wire.asked("POST", "/auth/login")[0].content)["username"] == "ann"


async def test_typed_before_another_form_or_none_is_forgotten() -> None:
    slow = SlowPlace(Wire(setup_required=True), token="")
    async with slow.app.run_test(size=SIZE) as pilot:
        burst(slow.app, f"ann\r{PASSWORD}\r")
        slow.ready.set()
        await until(pilot, lambda: has_form(slow.app, "FirstRunForm"))
        await pilot.pause(0.2)
        values = [field.value for field in slow.app.screen.query(Input)]
        assert values == ["admin", "", "", "one-time-token"]
    wire = Wire()
    slow = SlowPlace(wire)  # with a token there is no form at all
    async with slow.app.run_test(size=SIZE) as pilot:
        burst(slow.app, "sXy")
        slow.ready.set()
        await until(pilot, lambda: at_home(slow.app))
        await pilot.pause(0.2)
        assert at_home(slow.app)
        assert changes(wire) == []


async def test_typed_before_home_is_forgotten_however_late_its_turn_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire()
    slow = SlowPlace(wire)
    settle = TypeAhead._wait_until_handled

    async def late(ahead: TypeAhead) -> None:
        await settle(ahead)
        async with asyncio.timeout(20):
            while not at_home(slow.app):
                await asyncio.sleep(0.01)

    monkeypatch.setattr(TypeAhead, "_wait_until_handled", late)
    async with slow.app.run_test(size=SIZE) as pilot:
        burst(slow.app, "sXy")
        await until(pilot, lambda: len(slow.app.type_ahead._waiting) == 3)
        slow.ready.set()
        await until(pilot, lambda: at_home(slow.app) and slow.app.type_ahead._dispatcher is None)
        assert type(slow.app.screen).__name__ == "VMListScreen"
        assert changes(wire) == []


async def test_ctrl_q_does_not_wait_for_the_form() -> None:
    slow = SlowPlace(Wire(), token="")
    async with slow.app.run_test(size=SIZE) as pilot:
        burst(slow.app, "ann")
        slow.app.post_message(Key("ctrl+q", None))
        await until(pilot, lambda: slow.app._exit, "it ends")


async def test_c_and_a_name_in_one_burst_make_that_vm() -> None:
    wire = Wire()
    app = console(wire)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: at_home(app))
        burst(app, "cpx-sst\t\t")
        await until(pilot, lambda: isinstance(app.screen, CreateVMForm) and bool(app.screen._draft.images))
        assert app.screen.query_one("#name Input", Input).value == "px-sst"
        assert app.screen.query_one("#memory Input").has_focus
        assert changes(wire) == []


async def test_a_delete_with_disks_and_its_name_in_one_burst() -> None:
    wire = Wire()
    app = console(wire)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: at_home(app))
        app.screen.pane.table.move_to([row.name for row in app.screen.pane.table.rows].index("staging"))  # type: ignore[attr-defined]
        await pilot.pause()
        burst(app, "D staging\r")
        await until(pilot, lambda: at_home(app) and "Deleting" in line_text(app, "status"))
        assert [call.method for call in wire.calls if call.method != "GET"] == ["DELETE"]
        assert wire.calls[-1].url.params["disks"] == "true"


async def test_a_question_and_its_answer_in_one_burst() -> None:
    wire = Wire()
    app = console(wire)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: at_home(app))
        app.screen.pane.table.move_to([row.name for row in app.screen.pane.table.rows].index("web-01"))  # type: ignore[attr-defined]
        await pilot.pause()
        burst(app, "Xn")
        burst(app, "Xy")
        await until(pilot, lambda: at_home(app) and "Powering off" in line_text(app, "status"))
        assert len(changes(wire)) == 1


async def test_what_was_meant_for_a_form_that_is_refused_is_no_command() -> None:
    wire = Wire(user=VIEWER)
    app = console(wire, Stream(live(), inventory(fleet())))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: at_home(app))
        burst(app, "cweb-q")
        await until(pilot, lambda: "your role (viewer) lacks the permission" in line_text(app, "status"))
        await pilot.pause(0.2)
        assert app.is_running
        assert at_home(app)
        assert "your role (viewer)" in text(app)


async def test_what_is_still_typed_while_it_leaves_does_no_harm() -> None:
    app = console(Wire())
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: at_home(app))
        left, app._screen_stack[:] = app._screen_stack[:], []
        try:
            await app.on_event(Key("j", "j"))
        finally:
            app._screen_stack[:] = left
