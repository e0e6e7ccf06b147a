"""First paint of sign-in against a minimal Textual application, from outside, in turns."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.figure import Figure, median
from tests.support.terminal import Terminal

RUNS = 9
MINIMAL = """
from textual.app import App
from textual.widgets import Static
class Minimal(App):
    def compose(self):
        yield Static("minimal and painted")
Minimal().run()
"""


def measure() -> Iterator[Figure]:
    novacron = str(Path(sys.executable).with_name("novacron"))
    ours: list[float] = []
    floor: list[float] = []
    for _ in range(RUNS):
        ours.append(_paint([novacron, "--server", "http://127.0.0.1:9"], "control room"))
        floor.append(_paint([sys.executable, "-c", MINIMAL], "minimal and painted"))
    yield Figure("first paint of sign-in", median(ours), "s", 1.4, median(floor), "a minimal Textual app")


def _paint(command: list[str], pattern: str) -> float:
    with Terminal(command) as terminal:
        return terminal.see(pattern) - terminal.began
