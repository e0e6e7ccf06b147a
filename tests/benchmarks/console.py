"""The terminal of serial consoles: how fast it takes output, beside pyte, and what a flood costs its widget, fed faster than
any guest prints. Then, in `console_guest`, the whole way from real guests.
"""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Callable, Iterator
from typing import Any

import pyte
from textual.events import Key

from novacron_tui.consoles.emulator import SCROLLBACK_LINES, TerminalEmulator
from tests.benchmarks import console_guest
from tests.benchmarks.figure import Figure, percentile
from tests.support.console.terminals import TerminalApp

PLAIN = b"The quick brown fox jumps over the lazy dog 0123456789 and so on and so\r\n" * 20_000
COLOURED = b"".join(
    b"\x1b[0m\x1b[01;34mdir%d\x1b[0m  \x1b[01;32mexe%d\x1b[0m  plain%d.txt\r\n" % (n, n, n) for n in range(24_000)
)
PIECE = 4096
FLOOD_BYTES = 20_000_000
FLOOD = (
    b"[ 4211.503921] \x1b[33mnf_conntrack\x1b[0m: nf_conntrack: table full, dropping packet from 10.0.2.15\r\n" * 500
)
MIB = 1 << 20


def measure() -> Iterator[Figure]:
    for name, data in (("plain text", PLAIN), ("coloured ls", COLOURED)):
        ours, part = _rate(data), data[: len(data) // 6]
        plain, scrolling = _pyte_rate(pyte.Screen, part), _pyte_rate(_scrolling_screen, part)
        yield Figure(f"emulator, {name}", ours, "MB/s", 1.5, plain, "pyte, without scrollback", at_least=True)
        yield Figure(f"emulator, {name}", ours, "MB/s", 3.0, scrolling, "pyte with scrollback", at_least=True)
    took_s, cpu_s, grown, keys = asyncio.run(_flood())
    yield Figure("widget, flood of 20 MB: CPU", cpu_s / max(took_s, 1e-9), "cores", 1.0, absolute=True)
    yield Figure("widget, flood of 20 MB: CPU in total", cpu_s, "s", 20.0, absolute=True)
    yield Figure("widget, flood of 20 MB: growth of memory", grown / MIB, "MiB", 60, absolute=True)
    yield Figure("widget, flood of 20 MB: key to guest, p95", percentile(keys, 95) * 1000, "ms", 100, absolute=True)
    yield from console_guest.measure()


def _rate(data: bytes) -> float:
    """MB/s of the best of three."""
    best = 0.0
    for _ in range(3):
        emulator = TerminalEmulator()
        began = time.process_time()
        for at in range(0, len(data), PIECE):
            emulator.feed(data[at : at + PIECE])
        best = max(best, len(data) / 1e6 / (time.process_time() - began))
    return best


def _scrolling_screen(columns: int, rows: int) -> Any:
    return pyte.HistoryScreen(columns, rows, history=SCROLLBACK_LINES)


def _pyte_rate(screen: Callable[[int, int], Any], data: bytes) -> float:
    best = 0.0
    for _ in range(3):
        stream = pyte.ByteStream(screen(80, 24))
        began = time.process_time()
        for at in range(0, len(data), PIECE):
            stream.feed(data[at : at + PIECE])
        best = max(best, len(data) / 1e6 / (time.process_time() - began))
    return best


async def _flood() -> tuple[float, float, int, list[float]]:
    """Feed 20 MB through the widget in five seconds, faster than it can take them. Returns the time and the CPU time in s,
    the growth of memory in bytes, and of keys the times in s until the guest has them."""
    app = TerminalApp()
    async with app.run_test(size=(120, 40)) as pilot:
        app.view.typing = True
        app.view.feed(FLOOD)
        await pilot.pause(0.3)
        before, keys = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, list[float]()
        began, cpu = time.perf_counter(), time.process_time()
        fed = 0
        while fed < FLOOD_BYTES:
            app.view.feed(FLOOD)
            fed += len(FLOOD)
            if len(keys) < fed / FLOOD_BYTES * 100:
                keys.append(await _press(app))
            await asyncio.sleep(max(0.0, began + 5.0 * fed / FLOOD_BYTES - time.perf_counter()))
        while app.view._queue:
            await pilot.pause(0.01)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        return time.perf_counter() - began, time.process_time() - cpu, grown, keys


async def _press(app: TerminalApp) -> float:
    """Press a key; returns the seconds until it was sent to the guest."""
    count, at = len(app.sent), time.perf_counter()
    app.post_message(Key("k", "k"))
    while len(app.sent) == count:
        await asyncio.sleep(0)
    return time.perf_counter() - at
