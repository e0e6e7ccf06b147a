"""Plugs pulled in front of a running console: it shows the truth within ten seconds, never a traceback, and finds back."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from tests.journeys.conftest import NOVACRON
from tests.journeys.test_fleet import cursor, names, until
from tests.journeys.test_serve import administrator, serve
from tests.node_files import write_node
from tests.terminal import Terminal

pytestmark = pytest.mark.timeout(120)
SHOWN_S = 10.0


class House:
    """A server on a port of its own that can be killed, hung and started anew, and its PostgreSQL."""

    def __init__(self, data_dir: Path, port: int) -> None:
        self.data_dir, self.port = data_dir, port
        self._stack = ExitStack()
        self.pid = 0

    def start(self, vms: int) -> str:
        node = write_node(self.data_dir / "node.xml", vms)
        # A later --port wins over the one of `serve`.
        url, self.pid = self._stack.enter_context(serve(self.data_dir, "--port", str(self.port), hosts=[node]))
        return url

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        with pytest.raises(AssertionError):  # `serve` expects an orderly end
            self._stack.close()

    def signal_database(self, number: signal.Signals) -> None:
        """To every process of PostgreSQL."""
        for process in psutil.Process(self.pid).children(recursive=True):
            if "postgres" in process.name():
                process.send_signal(number)

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def house(data_dir: Path) -> Iterator[House]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    house = House(data_dir, port)
    yield house
    house.close()


@contextmanager
def console(house: House) -> Iterator[Terminal]:
    """A console on the house, signed in by a token, its cursor on the fourth VM."""
    url = house.start(20)
    token = asyncio.run(administrator(url, (house.data_dir / "setup-token").read_text().strip()))
    with Terminal([NOVACRON, "--server", url], environment={"NOVACRON_TOKEN": token}) as terminal:
        terminal.see("LIVE", 20)
        until(terminal, lambda: len(names(terminal)) == 20)
        terminal.press("home", "down", "down", "down")
        yield terminal
        assert "Traceback" not in terminal.text()
    assert "Traceback" not in (house.data_dir / "log").read_text()


def test_each_plug_is_told_and_the_console_finds_back(house: House) -> None:
    with console(house) as terminal:
        here = cursor(terminal)
        _database_hangs(terminal, house)
        _server_hangs(terminal, house)
        _server_is_killed_and_another_one_comes(terminal, house)
        assert cursor(terminal) == here


def _database_hangs(terminal: Terminal, house: House) -> None:
    house.signal_database(signal.SIGSTOP)
    terminal.see("database away", SHOWN_S)
    _change_is_refused(terminal, "the server's database is away: changes are refused until it is back")
    assert len(names(terminal)) == 20  # what was known stays on the screen
    house.signal_database(signal.SIGCONT)
    until(terminal, lambda: "database away" not in terminal.text())
    terminal.see("LIVE", SHOWN_S)


def _server_hangs(terminal: Terminal, house: House) -> None:
    """As when the cable is cut: the line stands, and nothing comes any more."""
    os.kill(house.pid, signal.SIGSTOP)
    terminal.see("OFFLINE", SHOWN_S)
    _change_is_refused(terminal, "offline: changes are refused until the line is back")
    assert len(names(terminal)) == 20
    os.kill(house.pid, signal.SIGCONT)
    terminal.see("LIVE", 30)


def _server_is_killed_and_another_one_comes(terminal: Terminal, house: House) -> None:
    """The number this console holds is none of the new server's: it gets everything anew, with what changed meanwhile."""
    house.kill()
    terminal.see("OFFLINE", SHOWN_S)
    house.start(21)
    terminal.see("LIVE", 30)
    until(terminal, lambda: len(names(terminal)) == 21)


def _change_is_refused(terminal: Terminal, why: str) -> None:
    terminal.press("x")
    terminal.see(f"› {why}", SHOWN_S)
