"""Storage advice: what part of the operations it keeps in the hot tier, beside other ways of choosing and one that knows the
next day; and how long an evaluation takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec

from novacron_core.api.tiering import StoragePolicy, VolumeHeat
from novacron_core.rules.tiering.advice import TierSpace, evaluate
from novacron_core.rules.tiering.disks import DiskState
from novacron_core.values.sizes import GIB
from novacron_core.values.tiers import TierName
from novacron_server.hypervisor.statistics.counters import DiskCounters, DomainCounters, Reading
from novacron_server.inventory.rows import VolumeRow
from novacron_server.tiering.book import MEASURES, HeatBook
from novacron_server.tiering.clock import HeatClock
from novacron_server.tiering.history import StoredDay, history
from tests.benchmarks.figure import Figure
from tests.support.heat import Disks
from tests.support.tiering import Outcome, choosers, fleet, replay

VOLUMES, DAYS = 2000, 60
HOT_PART = 0.2
"""Of the size of all volumes at the beginning."""
DISKS = 10_000
READ = 1_000
HOST = "h"


def measure() -> Iterator[Figure]:
    outcomes = simulate(VOLUMES, DAYS)
    print(table(outcomes), flush=True)
    ours, best = outcomes["ours"], outcomes["oracle"]
    name = "operations served from the hot tier, simulated"
    yield Figure(name, ours.hot, "of all", 0.85, floor=best.hot, floor_name="knows the next day", at_least=True)
    copied = (ours.copied_bytes / GIB, best.copied_bytes / GIB)
    yield Figure("copied for it", copied[0], "GiB", 1.5, floor=copied[1], floor_name="knows the next day")
    for rival in ("autotier", "original", "LRU by day"):
        other = outcomes[rival]
        yield Figure(name, ours.hot, "of all", 1.0, floor=other.hot, floor_name=rival, at_least=True)
        if other.copied_bytes < ours.copied_bytes:
            rates = [each.hot / each.copied_bytes * GIB * 1e6 for each in (ours, other)]
            yield Figure("served per copied GiB", rates[0], "ppm", 1.0, floor=rates[1], floor_name=rival, at_least=True)
    yield Figure("moves back within 7 days", sum(ours.returns.values()), "moves", 0, absolute=True)
    yield Figure(f"advice for {DISKS:,} volumes", _evaluation_ms(), "ms", 200, absolute=True)
    yield Figure(f"heat of {READ:,} disks per reading", _reading_ms(), "ms CPU", 20, absolute=True)
    yield Figure("30 days of a volume in 200 points", _history_ms(), "ms", 30, absolute=True)


def simulate(volumes: int, days: int) -> dict[str, Outcome]:
    """The same workloads with each way of choosing tiers."""
    made = fleet(volumes, days)
    hot = int(sum(volume.size_bytes for volume in made) * HOT_PART)
    return {name: replay(made, days, hot, choose) for name, choose in choosers(StoragePolicy()).items()}


def table(outcomes: dict[str, Outcome]) -> str:
    """For people."""
    lines = [f"{'':12}{'from hot':>10}{'copied':>12}{'moves':>8}{'back in 7 d':>13}"]
    for name, each in outcomes.items():
        copied = f"{each.copied_bytes / GIB / 1024:.1f} TiB"
        lines.append(f"{name:12}{each.hot:>10.1%}{copied:>12}{each.moves:>8}{sum(each.returns.values()):>13}")
    return "\n".join(lines)


def _evaluation_ms() -> float:
    tiers: list[TierName] = ["hot", "warm", "cold"]
    disks = [
        DiskState(
            id=f"{n:05}",
            tier=tiers[n % 3],
            size_bytes=(8 + n % 90) * GIB,
            fast=n % 997 / 10,
            slow=n % 331 / 5,
            idle_s=n % 40 * 86_400.0,
            above=n % 4,
        )
        for n in range(DISKS)
    ]
    spaces: dict[TierName, TierSpace] = {}
    for tier, p50_ms in zip(tiers, (0.8, 6.0, 15.0), strict=True):
        used = sum(disk.size_bytes for disk in disks if disk.tier == tier)
        spaces[tier] = TierSpace(capacity_bytes=used * 5 // 4, used_bytes=used, p50_ms=p50_ms)
    took = []
    for _ in range(5):
        began = time.perf_counter()
        evaluate(disks, spaces, StoragePolicy())
        took.append((time.perf_counter() - began) * 1000)
    return min(took)


def _reading_ms() -> float:
    made = datetime.now(UTC)
    rows = [
        VolumeRow(id=f"{n}", host_id=HOST, pool="p", name=f"{n}", tenant="t", owner="o", tier="hot", created_at=made)
        for n in range(READ)
    ]
    book, took = HeatBook(Disks(rows), HeatClock()), []
    for number in range(1, 20):
        at = 1000.0 + 15 * number
        domains = [
            DomainCounters(f"{n}", 1, at, disks=(DiskCounters("vda", number << 20, number << 7, 0, 0, number << 30),))
            for n in range(READ)
        ]
        reading = Reading(group="disks", time=datetime.now(UTC), at=at, took_s=0.1, domains=domains)
        began = time.process_time()
        book.record((HOST, reading))
        took.append((time.process_time() - began) * 1000)
    return sorted(took)[len(took) // 2]


def _history_ms() -> float:
    end = datetime(2026, 6, 30, 12, tzinfo=UTC)
    last = int(end.timestamp() // 86_400)
    days = [StoredDay(last - n, {name: [float(n)] * 24 for name in MEASURES}) for n in range(31)]
    now = VolumeHeat(id="v", name="v", host=HOST, heat=1.0, fast=1.0, slow=1.0, observed_s=1.0, as_of=end)
    took = []
    for _ in range(5):
        began = time.perf_counter()
        msgspec.json.encode(history(now, days, end - timedelta(days=30), end, 200))
        took.append((time.perf_counter() - began) * 1000)
    return min(took)
