"""`novacron` with its own server, from outside: a burst of keys as a slow line brings it, and a server that dies."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from novacron_core.local_server import read_running_server
from tests.support.fair_clock import fair_now
from tests.support.scratch import scratch
from tests.support.terminal import Terminal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
PASSWORD = "quiet harbour seventeen lanterns"


def kill(data_dir: Path, how: signal.Signals) -> None:
    """End the server of a data directory, and see it gone."""
    running = read_running_server(data_dir)
    if running is None:
        return
    os.kill(running.pid, how)
    deadline = fair_now() + 30
    while read_running_server(data_dir) is not None:
        with suppress(ChildProcessError):
            os.waitpid(running.pid, os.WNOHANG)
        assert fair_now() < deadline, "the server does not end"
        time.sleep(0.05)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with scratch() as path:
        yield path
        kill(path, signal.SIGTERM)


def burst(terminal: Terminal, keys: str) -> None:
    """All keys in one write, as one packet of a slow line."""
    os.write(terminal._fd, keys.encode())


def test_bursts_and_a_server_that_dies(data_dir: Path) -> None:
    command = [sys.executable, "-m", "novacron_tui", "--data-dir", str(data_dir), "--hypervisor", "test:///default"]
    with Terminal(command) as first:
        first.see("create the first administrator", 60)
        burst(first, f"\x1b[Z\x15ann\r{PASSWORD}\r{PASSWORD}\r\r")
        first.see("LIVE.*ann", 20)
        burst(first, "q")
        assert first.wait_end(10) == 0
    with Terminal(command) as second:
        second.see("control room", 20)
        burst(second, f"{PASSWORD}\r")  # most likely before there is a form, which knows who signed in last
        second.see("LIVE.*ann", 60)
        before = read_running_server(data_dir)
        kill(data_dir, signal.SIGKILL)
        second.see("OFFLINE", 20)
        second.see("LIVE.*1 host up .*1 running .*ann", 60)  # the new server must have read its host before a key acts
        after = read_running_server(data_dir)
        assert before is not None
        assert after is not None
        assert after.url != before.url
        burst(second, "Xy")
        second.see("powered off|powering off", 20)
        burst(second, "q")
        assert second.wait_end(10) == 0
    with Terminal(command) as third:
        third.see("Password", 60)
        burst(third, PASSWORD[:5])
        kill(data_dir, signal.SIGTERM)
        third.see("Server is responding again", 60)
        burst(third, f"{PASSWORD[5:]}\r")
        third.see("LIVE.*ann", 20)
