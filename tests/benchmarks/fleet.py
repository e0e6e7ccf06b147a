"""The list at fleet size, from outside: 2,000 and 10,000 VMs of the test driver, in a pseudo-terminal.

The floor of a cursor key is a minimal Textual app that paints two lines anew at each key. Times of a key are to the
last byte it caused.
"""

from __future__ import annotations

import os
import re
import select
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from tests.benchmarks.figure import Figure, percentile
from tests.support.accounts import PASSWORD
from tests.support.node_files import write_node
from tests.support.processes import Running, server
from tests.support.terminal import KEYS, Terminal

QUIET_S = 0.12
IDLE_S = 15.0
ROW = re.compile(r"^[▌ ] (web|db|cache|api|worker|build|mail|dns|proxy|store)-\d{5}", re.MULTILINE)
FLOOR = """
from textual.app import App
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget
from rich.segment import Segment
from rich.style import Style
class Rows(Widget, can_focus=True):
    at = 0
    def render_line(self, y):
        style = Style(reverse=True) if y == self.at else Style()
        return Strip([Segment(f"row {y}".ljust(self.size.width), style)])
    def on_key(self, event):
        old, self.at = self.at, (self.at + 1) % self.size.height
        self.refresh(Region(0, old, self.size.width, 1), Region(0, self.at, self.size.width, 1))
class Floor(App):
    def compose(self):
        yield Rows()
    def on_mount(self):
        self.query_one(Rows).focus()
Floor().run()
"""


@dataclass(frozen=True)
class Took:
    """One key: milliseconds to its first and last byte, and how many bytes."""

    first_ms: float
    last_ms: float
    size: int


def measure() -> Iterator[Figure]:
    with Terminal([sys.executable, "-c", FLOOR]) as terminal:
        terminal.see("row 3", 20)
        floor = [took.last_ms for took in press(terminal, ["down"] * 60)]
    for count in (2_000, 10_000):
        with tempfile.TemporaryDirectory(prefix="novacron-bench-", dir="/var/tmp") as name:
            uri = write_node(Path(name) / "node.xml", count)
            Path(name).chmod(0o711)
            with server("--hypervisor", uri) as ours:
                yield from _fleet(ours, count, percentile(floor, 95))


def _fleet(ours: Running, count: int, floor_ms: float) -> Iterator[Figure]:
    fleet = f"{count:,} VMs"
    _wait_for(ours, count)
    with _console(ours) as terminal:
        took_s = _sign_in(terminal)
        yield Figure(f"{fleet}: list after sign-in", took_s, "s", 0.6 if count <= 2000 else 2.0, absolute=True)
        terminal.settle(1.0, 3.0)
        yield Figure(f"{fleet}: visible at 120x40", _visible(terminal), "VMs", 32, absolute=True, at_least=True)
        yield from _keys(terminal, fleet, floor_ms)
        yield from _sort(terminal, fleet)
        yield from _filter(terminal, fleet)
        yield from _marks(terminal, fleet, floor_ms)
        yield from _rest(terminal, fleet)
    if count <= 2000:
        with _console(ours, columns=80, rows=24) as terminal:
            _sign_in(terminal)
            terminal.settle(1.0, 3.0)
            yield Figure(f"{fleet}: visible at 80x24", _visible(terminal), "VMs", 16, absolute=True, at_least=True)


def _visible(terminal: Terminal) -> int:
    return len(ROW.findall(terminal.text()))


def _keys(terminal: Terminal, fleet: str, floor_ms: float) -> Iterator[Figure]:
    moves = press(terminal, ["down"] * 30 + ["up"] * 30)
    yield from _cursor(f"{fleet}: cursor key", moves, floor_ms)
    pages = press(terminal, ["pagedown"] * 15 + ["pageup"] * 15)
    yield _figure(f"{fleet}: page settled, median", [took.last_ms for took in pages], 30)
    yield Figure(f"{fleet}: page", max(took.size for took in pages) / 1024, "KB", 18, absolute=True)


def _cursor(name: str, moves: Sequence[Took], floor_ms: float) -> Iterator[Figure]:
    p95 = percentile([took.last_ms for took in moves], 95)
    yield Figure(f"{name}, p95", p95, "ms", 15, floor_ms, "two lines of a bare Textual app", absolute=True)
    yield Figure(f"{name}, median size", statistics.median(took.size for took in moves), "B", 800, absolute=True)


def _sort(terminal: Terminal, fleet: str) -> Iterator[Figure]:
    """Every column in turn, several times round."""
    sorts = press(terminal, ["o"] * 40)
    yield _figure(f"{fleet}: sort, median", [took.last_ms for took in sorts], 30)


def _filter(terminal: Terminal, fleet: str) -> Iterator[Figure]:
    typed: list[Took] = []
    for _ in range(3):
        press(terminal, ["/"])
        typed += press(terminal, [*"db-01", *["backspace"] * 5, *"state:run", *["backspace"] * 9])
        press(terminal, ["esc"])
    yield _figure(f"{fleet}: filter key, median", [took.last_ms for took in typed if took.size], 30)


def _marks(terminal: Terminal, fleet: str, floor_ms: float) -> Iterator[Figure]:
    press(terminal, ["*"])
    yield from _cursor(f"{fleet}: cursor key, all marked", press(terminal, ["down"] * 20 + ["up"] * 20), floor_ms)
    press(terminal, ["esc"])


def _rest(terminal: Terminal, fleet: str) -> Iterator[Figure]:
    """What it costs to be looked at, and to be there."""
    process = psutil.Process(terminal.pid)
    before, began, received = sum(process.cpu_times()[:2]), time.monotonic(), terminal.received
    while time.monotonic() < began + IDLE_S:
        terminal.read(0.5)
    seconds = time.monotonic() - began
    yield Figure(
        f"{fleet}: idle", 100 * (sum(process.cpu_times()[:2]) - before) / seconds, "% of a core", 1.5, absolute=True
    )
    yield Figure(f"{fleet}: idle output", (terminal.received - received) / seconds, "B/s", 2048, absolute=True)
    memory = process.memory_info().rss / 2**20
    yield Figure(f"{fleet}: memory", memory, "MiB", 70 if "10" not in fleet else 120, absolute=True)


def press(terminal: Terminal, keys: Sequence[str]) -> list[Took]:
    """Press keys one by one, each when all is quiet; the emulator is fed when the clock has stopped."""
    return [_press(terminal, KEYS.get(key, key).encode()) for key in keys]


def _press(terminal: Terminal, data: bytes) -> Took:
    while terminal.read(QUIET_S):
        pass
    began = time.monotonic()
    os.write(terminal._fd, data)
    first = last = began
    heard: list[bytes] = []
    while select.select([terminal._fd], [], [], QUIET_S if heard else 1.0)[0]:
        heard.append(os.read(terminal._fd, 1 << 18))
        last = time.monotonic()
        first = first if first > began else last
    terminal.feed(b"".join(heard))
    return Took((first - began) * 1000, (last - began) * 1000, sum(map(len, heard)))


def _figure(name: str, times_ms: list[float], limit_ms: float) -> Figure:
    return Figure(name, statistics.median(times_ms), "ms", limit_ms, absolute=True)


def _console(ours: Running, *, columns: int = 120, rows: int = 40) -> Terminal:
    novacron = str(Path(sys.executable).with_name("novacron"))
    home = {
        "HOME": tempfile.mkdtemp(dir=ours.data_dir),
        "XDG_CONFIG_HOME": "",
        "XDG_STATE_HOME": "",
        "NOVACRON_TOKEN": "",
    }
    return Terminal(
        [novacron, "--server", ours.url],
        columns=columns,
        rows=rows,
        environment=home,
    )


def _sign_in(terminal: Terminal) -> float:
    """Seconds from the password's enter to a screen full of VMs."""
    terminal.see("Sign in", 30)
    terminal.settle(0.3)
    terminal.press("ctrl+u")
    terminal.type("bench")
    terminal.press("enter")
    terminal.type(PASSWORD)
    terminal.settle(0.3)
    began = terminal.send("enter")
    return terminal.see("(?m)" + ROW.pattern, 30) - began


def _wait_for(ours: Running, count: int) -> None:
    """Until the server has them all."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        answer = httpx.get(
            f"{ours.url}/api/vm/vms?page_size=1", headers={"Authorization": f"Bearer {ours.token}"}, timeout=30
        )
        if answer.json().get("total") == count:
            return
        time.sleep(0.2)
    raise RuntimeError("the VMs did not appear")
