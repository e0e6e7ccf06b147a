"""By key presses on a home-made Debian: its login, top, less and vim in the console tab, and back with the scrollback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.console_keys import make_administrator
from tests.support.debian_guest import PROMPT, ROOT_PASSWORD, add_debian_image
from tests.support.fair_clock import fair_now
from tests.support.libvirtd import PrivateLibvirtd
from tests.support.terminal import Terminal

pytestmark = [pytest.mark.qemu, pytest.mark.long, pytest.mark.torture, pytest.mark.timeout(2400)]
DETACH = "\x1d"
BOOT_S = 900
SLOW_S = 120
"""For what the guest does, without KVM on a busy machine."""


def run_in_guest(terminal: Terminal, command: str, answer: str) -> None:
    """Type a command, and wait for what it prints and for the prompt behind that."""
    terminal.type(command)
    terminal.press("enter")
    terminal.see(rf"(?m){answer}(?:.|\n)*^{PROMPT}\S*# *$", SLOW_S)


def log_in(terminal: Terminal) -> None:
    """Wait for the login prompt and log in. The prompt may have been printed before the console was open: enter makes
    getty print another."""
    end = fair_now() + BOOT_S
    while "debian-guest login:" not in terminal.text():
        assert fair_now() < end, terminal.text()
        terminal.press("enter")
        terminal.read(2.0)
    terminal.settle(2.0, 20.0)
    terminal.type("root")
    terminal.press("enter")
    terminal.see(r"Password:", SLOW_S)
    terminal.type(ROOT_PASSWORD)
    terminal.press("enter")
    terminal.see(rf"{PROMPT}~#", SLOW_S)
    assert ROOT_PASSWORD not in terminal.text()


def leave_guest(terminal: Terminal) -> None:
    terminal.send(DETACH)
    terminal.see("types into the guest")
    terminal.react()


def send_size(terminal: Terminal) -> None:
    """Tell the guest the size of the terminal, by the console's own key."""
    leave_guest(terminal)
    terminal.press("R")
    terminal.see(r"stty rows \d+ cols \d+", SLOW_S)
    terminal.press(".")
    terminal.see("TYPING", 30)
    run_in_guest(terminal, "stty size", r"^\d\d 1\d\d")


def use_top(terminal: Terminal) -> None:
    """It draws the whole screen, again and again; q leaves it."""
    terminal.type("top -d 1")
    terminal.press("enter")
    terminal.see(r"top - \d\d:\d\d:\d\d up ", SLOW_S)
    terminal.see(r"PID USER +PR +NI")
    terminal.see(r"systemd")
    first = terminal.line(r"top - \d\d:").split()[2]
    terminal.see_no(rf"top - {first} up", SLOW_S)  # it was drawn again
    terminal.see(r"top - \d\d:\d\d:\d\d up ")
    terminal.press("q")
    run_in_guest(terminal, "echo AFTER-TOP-$((40+2))", "AFTER-TOP-42")


def use_less(terminal: Terminal) -> None:
    """Page down, search, and leave: the screen from before is back, as less used the alternate one."""
    terminal.type("clear; echo BEFORE-LESS-$((40+2)); less /etc/services")
    terminal.press("enter")
    terminal.see("tcpmux", SLOW_S)
    terminal.see_no("BEFORE-LESS-42")
    terminal.press("space")
    terminal.see_no("tcpmux", SLOW_S)
    terminal.type("/^mysql")
    terminal.press("enter")
    terminal.see(r"mysql +3306/tcp", SLOW_S)
    terminal.press("q")
    terminal.see("BEFORE-LESS-42", SLOW_S)
    terminal.see_no(r"mysql +3306/tcp")


def use_vim(terminal: Terminal) -> None:
    """Insert lines, move with a cursor key, write and quit; cat reads what was written."""
    terminal.type("vim.tiny /root/note")
    terminal.press("enter")
    terminal.see(r"(?m)^~ ", SLOW_S)
    terminal.see("note.*New")
    terminal.press("i")
    terminal.type("first line")
    terminal.press("enter")
    terminal.type("third line")
    terminal.see("third line", SLOW_S)
    terminal.press("esc")
    terminal.settle(1.5, 10.0)  # vim waits for the rest of a key that begins with escape
    terminal.press("up")
    terminal.press("o")
    terminal.type("second: grün")
    terminal.see("second: gr", SLOW_S)
    terminal.press("esc")
    terminal.settle(1.5, 10.0)
    terminal.type(":wq")
    terminal.press("enter")
    terminal.see_no(r"(?m)^~ ", SLOW_S)
    run_in_guest(terminal, "cat /root/note", r"^first line *\n(?:.|\n)*second: grün *\n(?:.|\n)*third line *\n")


def come_back(terminal: Terminal) -> None:
    """Leave the console and its page, come back, and find in the scrollback what left the screen meanwhile."""
    run_in_guest(terminal, "seq -f LINE-%g. 1 200", r"LINE-200\.")
    terminal.see_no(r"LINE-100\.")
    leave_guest(terminal)
    terminal.press("esc")
    terminal.see("NAME")
    terminal.press(".")
    terminal.see("TYPING", 30)
    terminal.see(r"LINE-200\.", 30)
    leave_guest(terminal)
    for _ in range(3):
        terminal.press("pageup")
    terminal.see(r"LINE-100\.", 30)
    terminal.press("end")
    terminal.see(r"LINE-200\.")
    terminal.press(".")
    terminal.see("TYPING", 30)
    run_in_guest(terminal, "echo BACK-$((6*7))", "BACK-42")


def test_console_of_debian_from_login_to_scrollback(
    libvirtd_named: Callable[[str], PrivateLibvirtd], data_dir: Path, console: Callable[..., Terminal]
) -> None:
    add_debian_image(data_dir / "images")
    daemon = libvirtd_named("debian")
    terminal = console("--hypervisor", daemon.uri, columns=120, rows=36)
    make_administrator(terminal)
    terminal.press("c")
    terminal.see("Create a VM from an image")
    terminal.see("a-debian  1.5 GiB")
    terminal.type("deb")
    terminal.press("ctrl+s")
    terminal.see("deb .*● running", 120)
    terminal.press(".")
    terminal.see("TYPING", 60)
    log_in(terminal)
    run_in_guest(terminal, "cat /etc/debian_version; uname -s", r"^12\.(?:.|\n)*^Linux")
    send_size(terminal)
    run_in_guest(terminal, "export TERM=xterm-256color LANG=C.UTF-8; echo TERM-$TERM", "^TERM-xterm-256color")
    use_top(terminal)
    use_less(terminal)
    use_vim(terminal)
    come_back(terminal)
