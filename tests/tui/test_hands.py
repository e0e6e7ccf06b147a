"""What a shell does to a console, in a pseudo-terminal: put aside and brought back, and a terminal that is closed."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.terminal import Terminal

pytestmark = pytest.mark.timeout(60)
COMMAND = [sys.executable, "-m", "novacron_tui", "--server", "http://127.0.0.1:9"]


def state(pid: int) -> str:
    """The letter that the kernel gives a process: T is stopped, Z has ended."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.fixture(autouse=True)
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))


def until_state(terminal: Terminal, wanted: str) -> None:
    deadline = time.monotonic() + 10
    while state(terminal.pid) not in wanted:
        assert time.monotonic() < deadline, state(terminal.pid)
        terminal.read(0.05)


def test_ctrl_z_puts_it_aside_and_coming_back_paints_it_again() -> None:
    with Terminal(COMMAND) as terminal:
        terminal.see("control room", 20)
        terminal.press("\x1a")
        until_state(terminal, "T")
        terminal.screen.reset()
        os.kill(terminal.pid, signal.SIGCONT)
        terminal.see("control room", 10)
        deadline = time.monotonic() + 20
        while terminal.wait_end(1.0) is None:  # keys that come before it listens again are dropped by the terminal
            assert time.monotonic() < deadline, "it does not listen"
            terminal.press("\x11")
        assert terminal.code == 0


def test_a_closed_terminal_ends_it() -> None:
    with Terminal(COMMAND) as terminal:
        terminal.see("control room", 20)
        os.close(terminal._fd)
        terminal._fd = os.open(os.devnull, os.O_RDWR)
        deadline = time.monotonic() + 10
        while os.waitpid(terminal.pid, os.WNOHANG)[0] == 0:
            assert time.monotonic() < deadline, "it lives on without a terminal"
            time.sleep(0.05)
        terminal.ended = True
