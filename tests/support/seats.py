"""People at machines of their own, with commands and consoles on one server."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from novacron_tui.terminal.type_ahead import HABIT_S
from tests.support.processes import NOVACRON
from tests.support.terminal import Terminal


@dataclass(frozen=True)
class Seat:
    """One person at a machine of their own."""

    url: str
    home: Path

    def try_to(self, *words: str, token: str = "", typed: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command, with an API token or else the saved session, and `typed` as its input."""
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(self.home), "LANG": "C.UTF-8"}
        server = ["--server", self.url] if token else []
        return subprocess.run(
            [NOVACRON, *server, *words], input=typed, capture_output=True, text=True, timeout=60,
            env={**environment, **({"NOVACRON_TOKEN": token} if token else {})},
        )  # fmt: skip

    def run(self, *words: str, token: str = "", typed: str = "") -> str:
        """What a command prints; it must succeed."""
        done = self.try_to(*words, token=token, typed=typed)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def console(self, *, columns: int = 120, rows: int = 40) -> Terminal:
        return Terminal(
            [NOVACRON, "--server", self.url], columns=columns, rows=rows, environment={"HOME": str(self.home)}
        )


def seat(url: str, folder: Path, name: str) -> Seat:
    """A machine for the person of this name, with a home in `folder`."""
    (folder / name).mkdir()
    return Seat(url, folder / name)


def look(terminal: Terminal) -> None:
    """Wait as long as keys of a saved session are taken for a password that is typed by habit."""
    until = time.monotonic() + 1.5 * HABIT_S
    while (left := until - time.monotonic()) > 0:
        terminal.read(left)


def command(terminal: Terminal, words: str) -> None:
    """Give a command after `:`, once what has just appeared was read."""
    terminal.react()
    terminal.press(":")
    terminal.type(words)
    terminal.press("enter")
