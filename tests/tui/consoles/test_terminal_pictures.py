"""Pictures of the terminal. A change here is seen by eye before it is accepted (`--snapshot-update`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from tests.support.console.looking import until
from tests.support.console.terminals import SHELL, TerminalApp, editor

BOOT = b"".join(
    b"[%5d.%03d] usb 1-%d: new high-speed \x1b[1mUSB\x1b[m device number %d using xhci_hcd\r\n"
    % (n, n * 7 % 1000, n % 5, n)
    for n in range(300)
)
Act = Callable[[TerminalApp, Pilot[Any]], Awaitable[None]]


async def fed(app: TerminalApp, pilot: Pilot[Any], data: bytes) -> None:
    await until(pilot, lambda: app.view.has_focus and app.view.emulator.size == tuple(app.size))
    app.view.feed(data)
    await until(pilot, lambda: not app.view._queue and app.view._is_finished and app.view._frame is None)


async def shell(app: TerminalApp, pilot: Pilot[Any]) -> None:
    app.view.typing = True
    await fed(app, pilot, SHELL)


async def full_screen(app: TerminalApp, pilot: Pilot[Any]) -> None:
    app.view.typing = True
    await fed(app, pilot, editor(*app.size))


async def found(app: TerminalApp, pilot: Pilot[Any]) -> None:
    await fed(app, pilot, BOOT)
    app.view.search("device number 26")
    await fed(app, pilot, SHELL)


async def copied(app: TerminalApp, pilot: Pilot[Any]) -> None:
    await fed(app, pilot, SHELL)
    app.view.start_copy()
    app.view.action_move(-8, -3)
    app.view.mark()
    app.view.action_move(20, 1)


async def skipped(app: TerminalApp, pilot: Pilot[Any]) -> None:
    await fed(app, pilot, SHELL + b"dmesg\r\n")
    app.view.note_skipped(1_300_000)
    await fed(app, pilot, BOOT[-400:].partition(b"\n")[2] + SHELL[: SHELL.index(b"ls")])
    assert app.view._skipped_timer is not None
    app.view._skipped_timer.stop()  # the note in the last line stays


ACTS: dict[str, Act] = {"shell": shell, "editor": full_screen, "search": found, "copy": copied, "skipped": skipped}


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
@pytest.mark.parametrize("theme", ["novacron-dark", "novacron-mono"])
@pytest.mark.parametrize("act", ACTS)
def test_terminal_looks(snap_compare: Any, act: str, theme: str, size: tuple[int, int]) -> None:
    app = TerminalApp(theme)
    assert snap_compare(app, terminal_size=size, run_before=lambda pilot: ACTS[act](app, pilot))


def test_terminal_looks_in_light(snap_compare: Any) -> None:
    app = TerminalApp("novacron-light")
    assert snap_compare(app, terminal_size=(80, 24), run_before=lambda pilot: shell(app, pilot))
