"""Live metrics, seen from outside: from a sample's hand-over in the server to its painted cell, and what the metrics screen
costs over a thousand VMs. The readings are made up (`fed_server`), all behind them is real.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.benchmarks.figure import Figure, percentile
from tests.support.node_files import write_node
from tests.support.processes import Running, running, serve_process
from tests.support.terminal import Terminal

FEW, MANY = 40, 1000
ROUNDS, FAST_S = 110, 0.6
WATCHED_S = 30.0
FIRST = re.compile(r" api-\d{5} .*?(\d+)%")


def measure() -> Iterator[Figure]:
    with _fed(FEW, FAST_S) as (ours, log), _console(ours) as terminal:
        terminal.see(FIRST.pattern, 30)
        took = _painted(terminal, log)
    title = f"sample handed over to painted cell, {len(took)} of them"
    yield Figure(f"{title}, p99", percentile(took, 99) * 1000, "ms", 100.0, absolute=True)
    yield Figure(f"{title}, median", percentile(took, 50) * 1000, "ms", 100.0, absolute=True)
    with _fed(MANY, 5.0) as (ours, _), _console(ours) as terminal:
        terminal.see(r"running .*\d%", 60)
        terminal.press("5")
        terminal.see(r"Top by CPU\s+(?:.|\n)*cores", 60)
        yield from _watched(terminal)


def _painted(terminal: Terminal, log: Path) -> list[float]:
    """Seconds from each hand-over to its cell."""
    seen: list[tuple[float, int]] = []
    ends = time.monotonic() + ROUNDS * FAST_S
    while time.monotonic() < ends:
        if (
            terminal.read(0.25)
            and (found := FIRST.search(terminal.text()))
            and [int(found[1])] != [p for _, p in seen[-1:]]
        ):
            seen.append((time.monotonic(), int(found[1])))
    handed = [(float(at), int(percent)) for at, percent in map(str.split, log.read_text().splitlines())]
    handed = [(at, percent) for at, percent in handed if seen[0][0] < at < ends - 1.0]
    took = [min((t for t, p in seen if t >= at and p == percent), default=ends) - at for at, percent in handed]
    if len(took) < ROUNDS / 2:
        raise RuntimeError(f"only {len(took)} samples were seen")
    return took


def _watched(terminal: Terminal) -> Iterator[Figure]:
    process = psutil.Process(terminal.pid)
    while terminal.read(1.0) and time.monotonic() < terminal.began + 60:
        pass
    before, began, received = sum(process.cpu_times()[:2]), time.monotonic(), terminal.received
    while time.monotonic() < began + WATCHED_S:
        terminal.read(0.5)
    seconds = time.monotonic() - began
    spent = sum(process.cpu_times()[:2]) - before
    title = f"metrics screen, {MANY:,} VMs at 120x40"
    yield Figure(title, 100 * spent / seconds, "% of a core", 5.0, absolute=True)
    yield Figure(f"{title}, output", (terminal.received - received) / seconds / 1024, "KB/s", 6.0, absolute=True)


@contextmanager
def _fed(count: int, every_s: float) -> Iterator[tuple[Running, Path]]:
    with tempfile.TemporaryDirectory(prefix="novacron-bench-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o711)
        uri, log = write_node(folder / "node.xml", count), folder / "handed"
        environment = {**os.environ, "FED_EVERY_S": str(every_s), "FED_LOG": str(log)}
        fed = serve_process(folder, "--hypervisor", uri, module="tests.benchmarks.fed_server", environment=environment)
        with fed as url:
            yield running(url, folder), log


@contextmanager
def _console(ours: Running) -> Iterator[Terminal]:
    novacron = str(Path(sys.executable).with_name("novacron"))
    with Terminal([novacron, "--server", ours.url], environment={"NOVACRON_TOKEN": ours.token}) as terminal:
        yield terminal
