"""The title of the terminal's window, its clipboard inside tmux and screen, and its bell."""

from __future__ import annotations

import base64
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from novacron_core.api.operations import OperationState
from novacron_tui.terminal import window
from tests.support.console.looking import SIZE, home, loaded, until
from tests.support.console.wire import Stream, Wire, console
from tests.support.console.world import NOW, fleet, inventory, live, operation
from tests.support.terminal import Terminal

COMMAND = [sys.executable, "-m", "tests.support.console.in_a_terminal"]
COPIED = "00000000-0000-4000-8000-000000000001"
BARE = f"\x1b]52;c;{base64.b64encode(COPIED.encode()).decode()}\a"


@pytest.mark.parametrize(
    ("environment", "through"),
    [
        ({"TERM": "xterm-256color"}, ""),
        ({"TERM": "screen-256color", "TMUX": "/tmp/tmux,1,0"}, f"\x1bPtmux;{BARE.replace(chr(27), chr(27) * 2)}\x1b\\"),
        ({"TERM": "tmux-256color"}, f"\x1bPtmux;{BARE.replace(chr(27), chr(27) * 2)}\x1b\\"),
        ({"TERM": "screen", "STY": "1.pts-0"}, f"\x1bP{BARE}\x1b\\"),
        ({"TERM": "screen.xterm-256color"}, f"\x1bP{BARE}\x1b\\"),
    ],
)
def test_copied_text_reaches_the_terminal_around_tmux_and_screen(environment: dict[str, str], through: str) -> None:
    assert window.copying(COPIED, environment) == BARE + through


def test_screen_gets_long_texts_in_pieces_that_it_does_not_drop() -> None:
    sent = window.copying("x" * 3000, {"TERM": "screen"})
    bare, *pieces = sent.split("\x1bP")
    assert len(pieces) > 5
    assert all(len(piece) < 760 and piece.endswith("\x1b\\") for piece in pieces)
    assert "".join(piece.removesuffix("\x1b\\") for piece in pieces) == bare


@pytest.mark.parametrize("text", ["a\x1b]52;c;aGk=\a", "a\nb\x9c", "a\u202eb\x07", "x" * 500])
def test_title_lets_no_control_character_through(text: str) -> None:
    inner = window.title(text).removeprefix("\x1b]2;").removesuffix("\a")
    assert inner.isprintable()
    assert len(inner) <= window.MAX_TITLE


@pytest.mark.parametrize(
    ("environment", "takes"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "tmux-256color"}, True),
        ({"TERM": "linux"}, False),
        ({"TERM": "vt220"}, False),
        ({}, False),
        ({"TERM": "xterm", "NOVACRON_TITLE": "0"}, False),
    ],
)
def test_title_is_set_where_there_is_a_window(environment: dict[str, str], takes: bool) -> None:
    assert window.takes_title(environment) is takes


def test_window_names_the_server_and_its_problems_and_gets_its_title_back(tmp_path: Path) -> None:
    command = [*COMMAND, str(tmp_path / "calls"), "token"]
    with Terminal(command, environment={"TERM": "xterm-256color", "COLORTERM": ""}) as terminal:
        terminal.see("web-01", 20)
        terminal.settle()
        assert terminal.screen.title == "local ▲1 – NovaCron"
        assert window.KEEP_TITLE.encode() in terminal.written
        assert window.RESTORE_TITLE.encode() not in terminal.written
        terminal.send("\x11")
        assert terminal.wait_end(20.0) == 0
        assert terminal.written.count(window.RESTORE_TITLE.encode()) == 1


def test_terminal_without_a_window_gets_no_title(tmp_path: Path) -> None:
    with Terminal(
        [*COMMAND, str(tmp_path / "calls"), "token"], environment={"TERM": "linux", "COLORTERM": ""}
    ) as terminal:
        terminal.see("web-01", 20)
        terminal.send("\x11")
        assert terminal.wait_end(20.0) == 0
        assert b"NovaCron\a" not in terminal.written
        assert window.KEEP_TITLE.encode() not in terminal.written


@pytest.mark.asyncio
@pytest.mark.parametrize(("seconds", "bell", "rung"), [(9, "1", 0), (11, "1", 1), (11, "0", 0)])
async def test_bell_rings_when_a_long_operation_that_one_follows_has_ended(
    seconds: int, bell: str, rung: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOVACRON_BELL", bell)
    vms = fleet()
    stream = Stream(live(), inventory(vms))
    app = console(Wire(), stream)
    told: list[str] = []
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        monkeypatch.setattr(app, "_tell_terminal", told.append)
        begun = operation("vm.stop", vms[1])
        home(app).follow(begun, "shutting down")
        ended: Any = operation(
            "vm.stop",
            vms[1],
            state=OperationState.SUCCEEDED,
            created_at=NOW - timedelta(seconds=seconds),
            finished_at=NOW,
        )
        other: Any = operation(
            "vm.start", vms[2], state=OperationState.SUCCEEDED, created_at=NOW - timedelta(hours=1), finished_at=NOW
        )
        stream.say(inventory(vms, operations=[ended, other]))
        await until(pilot, lambda: begun.id not in home(app).session.followed)
        assert told.count(window.BELL) == rung
