"""Independent readings of libvirt's counters of its guests (the call behind `virsh domstats`), several times a second.
The server is asked only for the times of its readings, so that both cover the same interval.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType

import libvirt

from novacron_core.api import usage
from novacron_core.client import Client
from tests.support.terminal import Terminal

_LOAD_S = 1.5
"""This much work in an interval of five seconds counts as load, and after this time a reading has been painted."""
_FREQUENT_S, _RARE_S = 0.2, 1.0
"""QEMU must be asked for disks and memory, and blocks the server's reads meanwhile, so rarely."""
_WANTED = {
    _FREQUENT_S: libvirt.VIR_DOMAIN_STATS_CPU_TOTAL,
    _RARE_S: libvirt.VIR_DOMAIN_STATS_BALLOON | libvirt.VIR_DOMAIN_STATS_BLOCK,
}
Counters = dict[str, float]
"""By the names of `virsh domstats`, summed over devices of a kind (`block.wr.bytes`)."""
_BLOCK = ("rd.bytes", "wr.bytes", "rd.reqs", "wr.reqs")


class Readings:
    """Reads in its own threads until the end of the block. Times are those of time.time()."""

    def __init__(self, uri: str, url: str, account: tuple[str, str], vm: str) -> None:
        """`account` is a user name and password, `vm` the VM's name."""
        self._uri, self._url, self._account, self._vm = uri, url, account, vm
        self._taken: dict[float, list[tuple[float, dict[str, Counters]]]] = {_FREQUENT_S: [], _RARE_S: []}
        self.rounds: list[float] = []
        """When the server read CPU, memory and network."""
        self.disk_rounds: list[float] = []
        """When the server read disks, to a tenth of a second."""
        self._ended = threading.Event()
        jobs = (lambda: self._read(_FREQUENT_S), lambda: self._read(_RARE_S), self._watch)
        self._threads = [threading.Thread(target=job, daemon=True) for job in jobs]

    def __enter__(self) -> Readings:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(10)

    def _read(self, every_s: float) -> None:
        connection = libvirt.open(self._uri)
        while not self._ended.wait(every_s):
            began = time.time()
            stats_of = connection.getAllDomainStats(_WANTED[every_s], libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE)
            found = {domain.name(): _sums(stats) for domain, stats in stats_of}
            self._taken[every_s].append(((began + time.time()) / 2, found))
        connection.close()

    def _watch(self) -> None:
        asyncio.run(self._poll())

    async def _poll(self) -> None:
        async with Client(self._url) as client:
            await client.sign_in(*self._account)
            while not self._ended.is_set():
                await self._poll_once(client)
                await asyncio.sleep(_FREQUENT_S)

    async def _poll_once(self, client: Client) -> None:
        found = (await client.call(usage.TOP, query=usage.TopQuery(q=f"name:{self._vm}"))).items
        if not found or found[0].time is None:
            return
        at = found[0].time.timestamp()
        if not self.rounds or at > self.rounds[-1]:
            self.rounds.append(at)
        if found[0].disk_age_s is not None:
            disks = at - found[0].disk_age_s
            if not self.disk_rounds or disks > self.disk_rounds[-1] + 1.0:
                self.disk_rounds.append(disks)

    def wait_for_round(self, terminal: Terminal, *, another: bool) -> float:
        """Wait for a round that had a second to be painted and is not followed soon by another. Returns its time."""
        last, deadline = self.rounds[-1] if another and self.rounds else 0.0, time.monotonic() + 120
        while not self.rounds or self.rounds[-1] <= last or not 1.0 <= time.time() - self.rounds[-1] <= 3.0:
            assert time.monotonic() < deadline, "the server reads nothing"
            terminal.read(0.1)
        return self.rounds[-1]

    def each(self, name: str, at: float) -> dict[str, float]:
        """A counter of every guest at a time, interpolated; without guests that only one of the two readings has."""
        taken = self._taken[_FREQUENT_S if name.startswith("cpu") else _RARE_S]
        after = next((n for n, (moment, _) in enumerate(taken) if moment >= at), 0)
        if not after:
            return {}
        (early, first), (late, last) = taken[after - 1], taken[after]
        part = (at - early) / (late - early)
        both = [guest for guest in first.keys() & last.keys() if name in first[guest] and name in last[guest]]
        return {guest: first[guest][name] + (last[guest][name] - first[guest][name]) * part for guest in both}

    def of(self, name: str, at: float, vm: str | None) -> float | None:
        """A counter of one guest, or (None) the sum over all."""
        found = self.each(name, at)
        return sum(found.values()) if found and vm is None else found.get(vm or "")

    def rate(self, name: str, rounds: list[float], vm: str | None) -> float | None:
        """The rate per second between the server's last two rounds. None for a sum over different guests."""
        if len(rounds) < 2:
            return None
        begin, end = (self.each(name, at) for at in rounds[-2:])
        if vm is None and begin.keys() != end.keys():
            return None
        guests = [vm] if vm is not None else list(end)
        if not guests or any(guest not in begin or guest not in end for guest in guests):
            return None
        return sum(end[guest] - begin[guest] for guest in guests) / (rounds[-1] - rounds[-2])

    def requests(self, vm: str | None) -> float | None:
        """Disk requests per second."""
        pair = [self.rate(f"block.{way}.reqs", self.disk_rounds, vm) for way in ("rd", "wr")]
        return None if None in pair else sum(value for value in pair if value is not None)

    def at_once(self, rounds: list[float], began: float, painted: float) -> None:
        """Check that a load that began and was painted at these times was in the first round that could include it."""
        sent_at = next((at for at in rounds if began + _LOAD_S <= at), painted)
        # Disk values are sent with the next round of the others.
        late = [at for at in self.rounds if sent_at < at < painted - _LOAD_S][rounds is self.disk_rounds :]
        assert not late, f"painted {len(late)} rounds after it was read"


def _sums(stats: dict[str, float]) -> Counters:
    found: Counters = {"cpu.seconds": stats["cpu.time"] / 1e9} if "cpu.time" in stats else {}
    for name in _BLOCK:
        each = [value for key, value in stats.items() if re.fullmatch(rf"block\.\d+\.{name}", key)]
        if each:
            found[f"block.{name}"] = sum(each)
    if "balloon.available" in stats and "balloon.usable" in stats:
        found["memory.used"] = (stats["balloon.available"] - stats["balloon.usable"]) * 1024
    if "balloon.current" in stats:
        found["memory.given"] = stats["balloon.current"] * 1024
    return found


Painted = dict[str, float]


def compare(
    terminal: Terminal,
    readings: Readings,
    painted: Callable[[str], Painted],
    own: Callable[[], dict[str, float | None]],
) -> None:
    """Check that every painted value is within 5 % of the reading in most windows. On a busy machine one window may
    fail, but a value that is wrong by a tenth does not pass in most of them.
    """
    seen: list[str] = []
    score: Counter[str] = Counter()
    for window in range(WINDOWS):
        at = readings.wait_for_round(terminal, another=window > 0)
        shown, true = painted(terminal.text()), own()
        if not shown or readings.rounds[-1] != at:
            continue
        score.update({name: 1 if agree(value, true[name]) else -1 for name, value in shown.items()})
        seen.append(", ".join(f"{name} {value:.4g} ({true[name] or 0:.4g})" for name, value in shown.items()))
        if all(score[name] > 0 for name in shown):
            return
    missing = sorted(name for name in score if score[name] <= 0) or "all"
    raise AssertionError(f"{missing} differ; painted (own):\n" + "\n".join(seen) + f"\n{terminal.text()}")


WINDOWS = 10
PART = 0.05


def agree(painted: float, own: float | None) -> bool:
    """Whether the values differ by at most 5 %."""
    return own is not None and abs(painted - own) <= PART * own
