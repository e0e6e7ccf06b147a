"""Plugs pulled in front of a running console: it shows the truth within ten seconds, never a traceback, and finds back."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import libvirt
import psutil
import pytest

from tests.support.accounts import administrator
from tests.support.database_budget import AS_SHIPPED
from tests.support.fleet_list import cursor, names, pause, read_until
from tests.support.libvirtd import PrivateLibvirtd
from tests.support.node_files import write_node
from tests.support.processes import NOVACRON, serve
from tests.support.terminal import Terminal

pytestmark = pytest.mark.timeout(120)
SHOWN_S = 10.0
ASLEEP_S = 9.0
"""Longer than a line may be silent."""
GUEST = """<domain type='qemu'><name>lone</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>
<os><type arch='x86_64'>hvm</type></os><devices><memballoon model='none'/></devices></domain>"""


class House:
    """A server on a port of its own that can be killed, hung and started anew, its PostgreSQL, and a host of its own."""

    def __init__(self, data_dir: Path, port: int, host: PrivateLibvirtd) -> None:
        self.data_dir, self.port, self.host = data_dir, port, host
        self._stack = ExitStack()
        self.pid = 0
        self.url = self.token = ""

    def start(self, vms: int) -> str:
        node = write_node(self.data_dir / "node.xml", vms)
        # A later --port wins over the one of `serve`.
        hosts = [node, self.host.uri]
        url, self.pid = self._stack.enter_context(
            serve(self.data_dir, *AS_SHIPPED, "--port", str(self.port), hosts=hosts)
        )
        self.url = url
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
def house(data_dir: Path, libvirtd_named: Callable[[str], PrivateLibvirtd]) -> Iterator[House]:
    host = libvirtd_named("bad")
    connection = libvirt.open(host.uri)
    connection.defineXML(GUEST).create()
    connection.close()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    house = House(data_dir, port, host)
    yield house
    host.signal(signal.SIGCONT)
    house.close()


@contextmanager
def console(house: House) -> Iterator[Terminal]:
    """A console on the house, signed in by a token, its cursor on the fifth VM, which runs."""
    url = house.start(20)
    token = house.token = asyncio.run(administrator(url, house.data_dir))
    with Terminal([NOVACRON, "--server", url], environment={"NOVACRON_TOKEN": token}) as terminal:
        terminal.see("LIVE", 20)
        read_until(terminal, lambda: len(names(terminal)) == 20)
        terminal.press("home", "down", "down", "down", "down")
        yield terminal
        assert "Traceback" not in terminal.text()
    assert "Traceback" not in (house.data_dir / "log").read_text()


def test_each_plug_is_told_and_the_console_finds_back(house: House) -> None:
    with console(house) as terminal:
        here = cursor(terminal)
        _host_hangs(terminal, house)
        _laptop_sleeps(terminal, house, here)
        _database_hangs(terminal, house)
        _server_hangs(terminal, house)
        _server_is_killed_and_another_one_comes(terminal, house)
        assert cursor(terminal) == here


def _host_hangs(terminal: Terminal, house: House) -> None:
    terminal.see(r"lone .* running", SHOWN_S)
    house.host.signal(signal.SIGSTOP)
    terminal.see(r"lone .* unknown", SHOWN_S)
    terminal.see("1 host up, 1 down: bad", 1)
    assert "running" in terminal.text(), "the other host goes on"
    house.host.signal(signal.SIGCONT)
    terminal.see(r"lone .* running", 30)


def _laptop_sleeps(terminal: Terminal, house: House, name: str) -> None:
    """Nothing is read and no clock is looked at for longer than a line may be silent; meanwhile something happens."""
    os.kill(terminal.pid, signal.SIGSTOP)
    asyncio.run(pause(house.url, house.token, name))
    time.sleep(ASLEEP_S)
    os.kill(terminal.pid, signal.SIGCONT)
    terminal.see(rf"{name} .* paused", SHOWN_S)
    terminal.see("LIVE", SHOWN_S)
    assert cursor(terminal) == name


def _database_hangs(terminal: Terminal, house: House) -> None:
    house.signal_database(signal.SIGSTOP)
    terminal.see("database down", SHOWN_S)
    _change_is_refused(terminal, "the server's database is down: changes are disabled until it is back")
    assert len(names(terminal)) == 20  # what was known stays on the screen
    house.signal_database(signal.SIGCONT)
    read_until(terminal, lambda: "database down" not in terminal.text())
    terminal.see("LIVE", SHOWN_S)


def _server_hangs(terminal: Terminal, house: House) -> None:
    """As when the cable is cut: the line stands, and nothing comes any more."""
    os.kill(house.pid, signal.SIGSTOP)
    terminal.see("OFFLINE", SHOWN_S)
    _change_is_refused(terminal, "offline: changes are disabled until the connection is back")
    assert len(names(terminal)) == 20
    os.kill(house.pid, signal.SIGCONT)
    terminal.see("LIVE", 30)


def _server_is_killed_and_another_one_comes(terminal: Terminal, house: House) -> None:
    """The number this console holds is none of the new server's: it gets everything anew, with what changed meanwhile."""
    house.kill()
    terminal.see("OFFLINE", SHOWN_S)
    house.start(21)
    terminal.see("LIVE", 30)
    read_until(terminal, lambda: len(names(terminal)) == 21)


def _change_is_refused(terminal: Terminal, why: str) -> None:
    terminal.press("x")
    terminal.see(f"› {why}", SHOWN_S)
