"""What hands and shells do to a console, in a pseudo-terminal: made small, clicked on, put aside and brought back, and
closed or ended in the middle of it."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

import pytest

from tests.support.console.world import PASSWORD
from tests.support.fair_clock import fair_now
from tests.support.terminal import Terminal

pytestmark = pytest.mark.timeout(60)
COMMAND = [sys.executable, "-m", "novacron_tui", "--server", "http://127.0.0.1:9"]


def state(pid: int) -> str:
    """The letter that the kernel gives a process: T is stopped, Z has ended."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.fixture(autouse=True)
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))


def at_home(calls: Path, *, size: tuple[int, int] = (100, 30)) -> Terminal:
    command = [sys.executable, "-m", "tests.support.console.in_a_terminal", str(calls), "token"]
    return Terminal(command, columns=size[0], rows=size[1])


def rows(terminal: Terminal) -> list[str]:
    """The names in the list, from the top."""
    return [line.split()[0] for line in terminal.screen.display if re.search(r"\d[GM](\s|$)", line)]


def until_state(terminal: Terminal, wanted: str) -> None:
    deadline = fair_now() + 10
    while state(terminal.pid) not in wanted:
        assert fair_now() < deadline, state(terminal.pid)
        terminal.read(0.05)


@pytest.mark.parametrize("how", ["ctrl+z", "SIGSTOP"])
def test_put_aside_and_brought_back_all_is_there(how: str, tmp_path: Path) -> None:
    with Terminal([sys.executable, "-m", "tests.support.console.in_a_terminal", str(tmp_path / "calls")]) as terminal:
        terminal.see("Password", 20)
        terminal.type("ada")
        terminal.settle(1.0, 5)  # nothing is left to paint: what is there when it comes back is painted for that
        before = terminal.screen.display[:]
        threads = len(os.listdir(f"/proc/{terminal.pid}/task"))
        if how == "ctrl+z":
            terminal.press("\x1a")
        else:
            os.kill(terminal.pid, signal.SIGSTOP)
        until_state(terminal, "T")
        terminal.settle()
        terminal.screen.reset()
        os.kill(terminal.pid, signal.SIGCONT)
        terminal.see("Password", 10)
        terminal.settle(1.0, 5)
        assert terminal.screen.display == before
        assert len(os.listdir(f"/proc/{terminal.pid}/task")) == threads, "two read the terminal"
        terminal.type("-too")
        terminal.see("ada-too", 10)
        terminal.press("\x11")
        assert terminal.wait_end(10.0) == 0


def test_made_too_small_and_large_again_in_the_middle_nothing_is_lost(tmp_path: Path) -> None:
    with at_home(tmp_path / "calls") as terminal:
        terminal.see("web-01", 20)
        terminal.press("/", "s", "t", "a", "enter", "end")
        terminal.see("staging on kvm-a", 5)
        terminal.press("/", "end", "g")
        for columns, lines in ((59, 24), (100, 14), (25, 6)):
            terminal.resize(columns, lines)
            terminal.see(r"too\s+small", 5)
        terminal.resize(60, 15)
        terminal.see(r"/ stag +1 of 9", 5)
        terminal.settle()
        assert rows(terminal) == ["staging"]
        terminal.press("backspace", "enter", "c")
        terminal.see("Create a VM", 5)
        terminal.type("half-typed")
        for columns, lines in ((40, 10), (140, 45)):
            terminal.resize(columns, lines)
        terminal.see("half-typed", 5)
        terminal.type("-on")
        terminal.see("half-typed-on", 5)
        terminal.press("esc")
        terminal.see("staging on kvm-a", 5)


def test_the_mouse_does_what_the_keys_do(tmp_path: Path) -> None:
    with at_home(tmp_path / "calls") as terminal:
        terminal.see("web-01", 20)
        terminal.click("mail")
        terminal.see("mail on kvm-a", 5)
        by_name = rows(terminal)
        terminal.click("STATE")
        terminal.see("STATE▴", 5)
        assert rows(terminal) != by_name
        terminal.see("mail on kvm-a", 5)
        terminal.click("create")
        terminal.see("Create a VM", 5)
        terminal.press("esc")
        terminal.see_no("Create a VM", 5)
        terminal.click("help")
        terminal.see("Open the page of the VM", 5)
        terminal.press("esc")
        terminal.see_no("Open the page of the VM", 5)
        terminal.click("quit")
        assert terminal.wait_end(10.0) == 0


@pytest.mark.parametrize("how", ["its terminal is closed", "it is ended"])
def test_it_leaves_as_by_its_key_when(how: str, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    with Terminal([sys.executable, "-m", "tests.support.console.in_a_terminal", str(calls)]) as terminal:
        terminal.see("Password", 20)
        terminal.settle(0.2)
        terminal.burst(f"ada\r{PASSWORD}\r")
        terminal.see("web-01", 10)
        if how == "it is ended":
            os.kill(terminal.pid, signal.SIGTERM)
        else:
            terminal.hang_up()
        # Python's own last flush may still meet the closed terminal, which it tells with 120.
        assert terminal.wait_end(10.0) in ((0,) if how == "it is ended" else (0, 120))
    assert calls.read_text().splitlines() == ["POST /auth/login", "POST /auth/logout", "left"]
