"""Failures while a console runs: it shows them within ten seconds, never a traceback, and recovers."""

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
from tests.support.database_budget import DEFAULT_BUDGET
from tests.support.fleet_list import cursor, names, pause, read_until
from tests.support.libvirtd import PrivateLibvirtd
from tests.support.node_files import write_node
from tests.support.processes import NOVACRON, serve
from tests.support.terminal import Terminal

pytestmark = pytest.mark.timeout(120)
SHOWN_S = 10.0
SUSPENDED_S = 9.0
"""Longer than a connection may be silent."""
GUEST = """<domain type='qemu'><name>lone</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>
<os><type arch='x86_64'>hvm</type></os><devices><memballoon model='none'/></devices></domain>"""


class FailingServer:
    """A server on a fixed port that can be killed, hung and restarted, with its PostgreSQL and its own host."""

    def __init__(self, data_dir: Path, port: int, host: PrivateLibvirtd) -> None:
        self.data_dir, self.port, self.host = data_dir, port, host
        self._stack = ExitStack()
        self.pid = 0
        self.url = self.token = ""

    def start(self, vms: int) -> str:
        node = write_node(self.data_dir / "node.xml", vms)
        # A later --port overrides the one of `serve`.
        hosts = [node, self.host.uri]
        url, self.pid = self._stack.enter_context(
            serve(self.data_dir, *DEFAULT_BUDGET, "--port", str(self.port), hosts=hosts)
        )
        self.url = url
        return url

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        with pytest.raises(AssertionError):  # `serve` expects an orderly end
            self._stack.close()

    def signal_database(self, number: signal.Signals) -> None:
        """Send a signal to every process of PostgreSQL."""
        for process in psutil.Process(self.pid).children(recursive=True):
            if "postgres" in process.name():
                process.send_signal(number)

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def failing_server(data_dir: Path, libvirtd_named: Callable[[str], PrivateLibvirtd]) -> Iterator[FailingServer]:
    host = libvirtd_named("bad")
    connection = libvirt.open(host.uri)
    connection.defineXML(GUEST).create()
    connection.close()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    failing_server = FailingServer(data_dir, port, host)
    yield failing_server
    host.signal(signal.SIGCONT)
    failing_server.close()


@contextmanager
def console(failing_server: FailingServer) -> Iterator[Terminal]:
    """A console signed in with a token, with the cursor on the fifth VM, which runs."""
    url = failing_server.start(20)
    token = failing_server.token = asyncio.run(administrator(url, failing_server.data_dir))
    with Terminal([NOVACRON, "--server", url], environment={"NOVACRON_TOKEN": token}) as terminal:
        terminal.see("LIVE", 20)
        read_until(terminal, lambda: len(names(terminal)) == 20)
        terminal.press("home", "down", "down", "down", "down")
        read_until(terminal, lambda: cursor(terminal) == names(terminal)[4])
        yield terminal
        assert "Traceback" not in terminal.text()
    assert "Traceback" not in (failing_server.data_dir / "log").read_text()


def test_console_shows_each_failure_and_recovers(failing_server: FailingServer) -> None:
    with console(failing_server) as terminal:
        here = cursor(terminal)
        _hang_host(terminal, failing_server)
        _suspend_console(terminal, failing_server, here)
        _hang_database(terminal, failing_server)
        _hang_server(terminal, failing_server)
        _replace_server(terminal, failing_server)
        read_until(terminal, lambda: cursor(terminal) == here)


def _hang_host(terminal: Terminal, failing_server: FailingServer) -> None:
    terminal.see(r"lone .* running", SHOWN_S)
    failing_server.host.signal(signal.SIGSTOP)
    terminal.see(r"lone .* unknown", SHOWN_S)
    terminal.see("1 host up, 1 down: bad", 1)
    assert "running" in terminal.text(), "the other host continues"
    failing_server.host.signal(signal.SIGCONT)
    terminal.see(r"lone .* running", 30)


def _suspend_console(terminal: Terminal, failing_server: FailingServer, name: str) -> None:
    """Suspend the console for longer than a connection may be silent, and change a VM meanwhile."""
    os.kill(terminal.pid, signal.SIGSTOP)
    asyncio.run(pause(failing_server.url, failing_server.token, name))
    time.sleep(SUSPENDED_S)
    os.kill(terminal.pid, signal.SIGCONT)
    terminal.see(rf"{name} .* paused", SHOWN_S)
    terminal.see("LIVE", SHOWN_S)
    read_until(terminal, lambda: cursor(terminal) == name)


def _hang_database(terminal: Terminal, failing_server: FailingServer) -> None:
    failing_server.signal_database(signal.SIGSTOP)
    terminal.see("database down", SHOWN_S)
    _expect_refused_change(terminal, "the server's database is down: changes are disabled until it is back")
    assert len(names(terminal)) == 20  # the last known values stay on the screen
    failing_server.signal_database(signal.SIGCONT)
    read_until(terminal, lambda: "database down" not in terminal.text())
    terminal.see("LIVE", SHOWN_S)


def _hang_server(terminal: Terminal, failing_server: FailingServer) -> None:
    """Like a cut cable: the connection stays open, but nothing arrives."""
    os.kill(failing_server.pid, signal.SIGSTOP)
    terminal.see("OFFLINE", SHOWN_S)
    _expect_refused_change(terminal, "offline: changes are disabled until the connection is back")
    assert len(names(terminal)) == 20
    os.kill(failing_server.pid, signal.SIGCONT)
    terminal.see("LIVE", 30)


def _replace_server(terminal: Terminal, failing_server: FailingServer) -> None:
    """The new server does not know the console's event number, so it sends the whole inventory, with the changes."""
    failing_server.kill()
    terminal.see("OFFLINE", SHOWN_S)
    failing_server.start(21)
    terminal.see("LIVE", 30)
    read_until(terminal, lambda: len(names(terminal)) == 21)


def _expect_refused_change(terminal: Terminal, why: str) -> None:
    terminal.press("x")
    terminal.see(f"› {why}", SHOWN_S)
