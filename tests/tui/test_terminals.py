"""Terminals as one meets them: sixteen colours, and tmux."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pyte.graphics import BG, BG_AIXTERM, FG, FG_AIXTERM

from tests.support.fair_clock import fair_now
from tests.support.terminal import Terminal

pytestmark = pytest.mark.timeout(60)
COMMAND = [sys.executable, "-m", "novacron_tui", "--server", "http://127.0.0.1:9"]


@pytest.fixture(autouse=True)
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize("kind", ["linux", "xterm-16color", "screen-256color"])
def test_it_paints_and_leaves_on_any_terminal(kind: str) -> None:
    with Terminal(COMMAND, environment={"TERM": kind, "COLORTERM": ""}) as terminal:
        terminal.see("control room", 20)
        terminal.send("\x11")
        assert terminal.wait_end(20.0) == 0


@pytest.mark.parametrize("kind", ["linux", "xterm-16color"])
def test_with_sixteen_colours_it_names_no_other(kind: str, tmp_path: Path) -> None:
    """Whole frames, and the cells that a key changes, which are painted in another way."""
    command = [sys.executable, "-m", "tests.support.console.in_a_terminal", str(tmp_path / "calls"), "token"]
    with Terminal(command, environment={"TERM": kind, "COLORTERM": ""}) as terminal:
        terminal.see("web-01", 20)
        terminal.press("down", "space", "/", "w", "e", "b")
        used = {colour for row in terminal.screen.buffer.values() for cell in row.values() for colour in cell[1:3]}
        assert len(used) > 3
        assert used <= {*FG_AIXTERM.values(), *BG_AIXTERM.values(), *FG.values(), *BG.values()}


def test_it_works_inside_tmux(tmp_path: Path) -> None:
    socket = str(tmp_path / "tmux")
    tmux = ["tmux", "-S", socket, "-f", os.devnull]
    environment = {key: value for key, value in os.environ.items() if key != "TMUX"}
    subprocess.run(
        [*tmux, "new-session", "-d", "-x", "100", "-y", "30", *COMMAND], check=True, env=environment | {"TERM": "xterm"}
    )
    try:
        deadline = fair_now() + 20
        while "control room" not in _shown(tmux):
            assert fair_now() < deadline, _shown(tmux)
            time.sleep(0.1)
        subprocess.run([*tmux, "send-keys", "C-q"], check=True)
        while subprocess.run([*tmux, "has-session"], capture_output=True).returncode == 0:
            assert fair_now() < deadline + 20, "it does not leave"
            time.sleep(0.1)
    finally:
        subprocess.run([*tmux, "kill-server"], capture_output=True)


def _shown(tmux: list[str]) -> str:
    return subprocess.run([*tmux, "capture-pane", "-p"], capture_output=True, text=True).stdout
