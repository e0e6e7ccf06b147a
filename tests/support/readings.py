"""Readings of our own, of what libvirt counts for its guests (the call behind `virsh domstats`), taken several times a
second. The server is asked for one thing alone: when it took its readings, so that both speak of the same interval.
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

_ENOUGH_S = 1.5
"""So much work in an interval of five seconds is seen as work, and after so long what was read has been painted."""
_OFTEN, _SELDOM = 0.2, 1.0
"""QEMU is asked for disks and memory, and while it answers us the server gets none: seldom."""
_WANTED = {
    _OFTEN: libvirt.VIR_DOMAIN_STATS_CPU_TOTAL,
    _SELDOM: libvirt.VIR_DOMAIN_STATS_BALLOON | libvirt.VIR_DOMAIN_STATS_BLOCK,
}
Counters = dict[str, float]
"""By `virsh domstats`' own names, devices of a kind summed up (`block.wr.bytes`)."""
_BLOCK = ("rd.bytes", "wr.bytes", "rd.reqs", "wr.reqs")


class Readings:
    """Reads in threads of its own until the end of the block. Times are those of time.time()."""

    def __init__(self, uri: str, url: str, who: tuple[str, str], vm: str) -> None:
        """`who` is a name and its password, `vm` the VM's name."""
        self._uri, self._url, self._who, self._vm = uri, url, who, vm
        self._taken: dict[float, list[tuple[float, dict[str, Counters]]]] = {_OFTEN: [], _SELDOM: []}
        self.rounds: list[float] = []
        """When the server read CPU, memory and network."""
        self.disk_rounds: list[float] = []
        """When it read disks, to a tenth of a second."""
        self._ended = threading.Event()
        jobs = (lambda: self._read(_OFTEN), lambda: self._read(_SELDOM), self._watch)
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
            told = connection.getAllDomainStats(_WANTED[every_s], libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE)
            found = {domain.name(): _sums(stats) for domain, stats in told}
            self._taken[every_s].append(((began + time.time()) / 2, found))
        connection.close()

    def _watch(self) -> None:
        asyncio.run(self._ask())

    async def _ask(self) -> None:
        async with Client(self._url) as client:
            await client.sign_in(*self._who)
            while not self._ended.is_set():
                await self._ask_once(client)
                await asyncio.sleep(_OFTEN)

    async def _ask_once(self, client: Client) -> None:
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
        """A round that had a second to come to the terminal and is not about to be followed by the next."""
        last, deadline = self.rounds[-1] if another and self.rounds else 0.0, time.monotonic() + 120
        while not self.rounds or self.rounds[-1] <= last or not 1.0 <= time.time() - self.rounds[-1] <= 3.0:
            assert time.monotonic() < deadline, "the server reads nothing"
            terminal.read(0.1)
        return self.rounds[-1]

    def each(self, name: str, at: float) -> dict[str, float]:
        """A counter of every guest at a moment, between two readings; without the guests that only one of them has."""
        taken = self._taken[_OFTEN if name.startswith("cpu") else _SELDOM]
        after = next((n for n, (moment, _) in enumerate(taken) if moment >= at), 0)
        if not after:
            return {}
        (early, first), (late, last) = taken[after - 1], taken[after]
        part = (at - early) / (late - early)
        both = [guest for guest in first.keys() & last.keys() if name in first[guest] and name in last[guest]]
        return {guest: first[guest][name] + (last[guest][name] - first[guest][name]) * part for guest in both}

    def of(self, name: str, at: float, vm: str | None) -> float | None:
        """A guest's, or the sum over all."""
        found = self.each(name, at)
        return sum(found.values()) if found and vm is None else found.get(vm or "")

    def rate(self, name: str, rounds: list[float], vm: str | None) -> float | None:
        """Per second between the last two of the server's rounds. None for a sum over guests that were not the same."""
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
        """What began at one moment and was painted at another was in the first of the server's rounds that could tell."""
        told = next((at for at in rounds if began + _ENOUGH_S <= at), painted)
        # A disk's number goes out with the next round of the others.
        late = [at for at in self.rounds if told < at < painted - _ENOUGH_S][rounds is self.disk_rounds :]
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
    """Every painted number is within 5 % of our own, in most of the windows that were looked at: on a machine with other
    work a window may be missed, but a number that is wrong by a tenth is not right in most of them.
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
    """Within 5 %."""
    return own is not None and abs(painted - own) <= PART * own
