"""The console tab as pictures, in each of its states."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from novacron_core.api import consoles as api
from novacron_core.client.stream import Disconnected
from novacron_tui.app import Console
from novacron_tui.screens.vm_page import VMPageScreen
from tests.support.console.looking import line_text, loaded, to, until
from tests.support.console.pictures import LARGE, SMALL
from tests.support.console.serial_consoles import BOB, ME, SerialEnd, serial
from tests.support.console.terminals import SHELL
from tests.support.console.vm_page_world import page_wire, page_world
from tests.support.console.wire import console

__all__ = ["serial"]
HELD = "another program, such as virsh console, has the serial console of this VM"


def typing(serial: SerialEnd) -> None:
    serial.hello(writer=ME, followers=2)
    serial.output(SHELL)


def watching(serial: SerialEnd) -> None:
    serial.hello(writer=BOB, followers=3)
    serial.output(SHELL)


def lost(serial: SerialEnd) -> None:
    typing(serial)
    serial.say(Disconnected("the connection to the server was lost", 1.0))


STATES: dict[str, tuple[Callable[[SerialEnd], None], str, tuple[str, ...]]] = {
    "typing": (typing, "TYPING", ()),
    "full": (typing, "TYPING", ("ctrl+right_square_bracket", "F")),
    "find": (typing, "TYPING", ("ctrl+right_square_bracket", "slash", *"nginx")),
    "watching": (watching, "bob is typing", ()),
    "held": (lambda serial: serial.hello(api.LineState.HELD, detail=HELD), "virsh", ()),
    "off": (lambda serial: serial.hello(api.LineState.OFF, detail="the VM is stopped"), "off:", ()),
    "lost": (lost, "reconnecting", ()),
}


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("state", STATES)
def test_console(snap_compare: Any, serial: SerialEnd, state: str, size: tuple[int, int]) -> None:
    say, words, keys = STATES[state]

    async def before(pilot: Any) -> None:
        app: Console = pilot.app
        await until(pilot, lambda: loaded(app) and app.session is not None and app.session.store.seq == 12)
        to(app, "web-01")
        await pilot.press("full_stop")
        await until(pilot, lambda: isinstance(app.screen, VMPageScreen))
        say(serial)
        await until(pilot, lambda: words in line_text(app, "console-line"))
        screen = app.screen
        assert isinstance(screen, VMPageScreen)
        await until(pilot, lambda: screen.console is not None and screen.console.terminal.idle)
        for key in keys:
            await pilot.press(key)
        if state == "find":
            await until(pilot, lambda: screen.console is not None and screen.console.terminal.view.found[1] > 0)
        screen.clear_message()
        await pilot.pause(0.1)

    assert snap_compare(console(page_wire(), page_world()), terminal_size=size, run_before=before)
