"""From `novacron` to a sign-in form that can be used, with its own server started on data that is there already."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from novacron_core.local_server import read_running_server
from tests.benchmarks.figure import Figure, median
from tests.support.terminal import Terminal

RUNS = 5
READY = "(?i)password"


def measure() -> Iterator[Figure]:
    novacron = str(Path(sys.executable).with_name("novacron"))
    with tempfile.TemporaryDirectory(prefix="novacron-bench-", dir="/var/tmp") as name:
        data_dir = Path(name)
        data_dir.chmod(0o711)
        command = [novacron, "--data-dir", name, "--hypervisor", "test:///default"]
        times = []
        for _ in range(RUNS + 1):
            with Terminal(command) as terminal:
                times.append(terminal.see(READY, 60) - terminal.began)
            _stop(data_dir)
    yield Figure("warm start to sign-in", median(times[1:]), "s", 3.0, absolute=True)
    yield Figure("cold start to sign-in, the first on an empty machine", times[0], "s", 30.0, absolute=True)


def _stop(data_dir: Path) -> None:
    """End the server that the console left running."""
    running = read_running_server(data_dir)
    if running:
        os.kill(running.pid, signal.SIGTERM)
        while read_running_server(data_dir):
            time.sleep(0.02)
