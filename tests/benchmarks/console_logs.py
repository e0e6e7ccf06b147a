"""How long the console waits for a log of 2 MiB: found and read, sent as JSON, decoded and made into harmless lines.

Everything between the file and the lines is the real code; the two HTTP answers are not part of it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from novacron_core.api.console_logs import MAX_BYTES, ConsoleLog
from novacron_server.console_logs.pieces import LogWish, read_piece
from novacron_tui.terminal.printed import Printed
from tests.benchmarks.figure import Figure
from tests.support.console_logs import RotatedLog

SIZE_BYTES, ROUNDS = 2 << 20, 5
LINE = "[{0:12.6f}] \x1b[32mvirtio_blk\x1b[0m virtio2: [vda] {0} 512-byte logical blocks (2.15 GB/2.00 GiB)\r\n"
KERNEL = b"[    0.000000] Linux version 6.1.0-37-cloud-amd64 (debian-kernel@lists.debian.org)\r\n"


def measure() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="novacron-bench-") as folder:
        log = RotatedLog(Path(folder))
        text = "".join(LINE.format(number) for number in range(2 * SIZE_BYTES // 80)).encode()
        log.write(text[:SIZE_BYTES])  # an older file: the last boot is searched in both
        log.write((KERNEL + text)[:SIZE_BYTES])
        took = min(_open(log) for _ in range(ROUNDS))
        began = time.perf_counter()
        log.path.read_bytes().decode()
        floor = time.perf_counter() - began
    yield Figure("opening a console log of 2 MiB", took * 1000, "ms", 200.0, floor=floor * 1000, absolute=True)


def _open(log: RotatedLog) -> float:
    began, cursor, printed, lines, more = time.perf_counter(), "", Printed(), 0, True
    while more:
        with log.opened() as files:
            piece = read_piece(files, LogWish(last_boot=True, cursor=cursor, max_bytes=MAX_BYTES), None)
        answer = msgspec.json.encode(ConsoleLog(text=piece.text, next=piece.cursor, more=piece.more))
        got = msgspec.json.decode(answer, type=ConsoleLog)
        lines += len(printed.feed(got.text))
        cursor, more = got.next, got.more
    assert lines > 20_000
    return time.perf_counter() - began
