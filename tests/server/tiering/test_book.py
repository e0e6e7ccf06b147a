"""The heat of volumes, from readings of their disks."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from novacron_server.hypervisor.statistics.counters import DiskCounters, DomainCounters, Reading
from novacron_server.inventory.rows import VolumeRow
from novacron_server.tiering.book import DAY_S, GAP_S, HOUR_S, HeatBook, KnownHeat
from novacron_server.tiering.clock import HeatClock
from tests.support.heat import Disks, ReadingsClock

HOST = "6e5a3a4e-1df0-4c63-a2f9-0a36e1c2a8a1"
NOON = 20_000.0 * DAY_S + 12 * HOUR_S
KIB = 1024


ROW = VolumeRow(
    id="v", host_id=HOST, pool="p", name="v", tenant="t", owner="o", tier="warm", created_at=datetime.now(UTC)
)


class Watched:
    """A book, and readings of the VM `v`, whose disk is the volume `v`: `total` requests of 4 KiB, half of them reads, of 2 ms each."""

    def __init__(self, speed: float = 1.0) -> None:
        self.disks = Disks([ROW])
        self.book = HeatBook(self.disks, ReadingsClock(speed=speed))

    def read(self, at: float, total: int | None, *, run: int = 1, size: int = 4 * KIB, domains: bool = True) -> None:
        """`total` None: the guest is busy with a job."""
        half = (total or 0) // 2
        disk = DiskCounters("vda", half * size, half, half * size, half, 2 * half * 2_000_000)
        counters = DomainCounters("v", run, at, disks=None if total is None else (disk,))
        found = [counters] if domains else []
        self.book.record((HOST, Reading(group="disks", time=datetime.now(UTC), at=at, took_s=0.0, domains=found)))

    @property
    def known(self) -> KnownHeat:
        return self.book.volumes["v"]

    @property
    def rate(self) -> float:
        return self.book.rates(self.known).fast


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_rate_is_that_of_what_was_seen(watched: Watched) -> None:
    for number in range(5):
        watched.read(NOON + 15 * number, 3000 * number)
    assert watched.rate == pytest.approx(200)
    assert watched.book.rates(watched.known).slow == pytest.approx(200)
    assert watched.known.heat.observed_s == pytest.approx(60)
    assert watched.known.reads == watched.known.writes == 6000
    assert watched.known.read_bytes == 6000 * 4 * KIB
    assert watched.known.heat.accessed_at == NOON + 60


def test_large_requests_weigh_less_and_look_sequential(watched: Watched) -> None:
    watched.read(NOON, 0, size=1024 * KIB)
    watched.read(NOON + 10, 1600, size=1024 * KIB)
    assert watched.rate == pytest.approx(10)  # 160 a second, of 16 times the size that counts whole
    assert (watched.known.active, watched.known.sequential) == (1, 1)


def test_counters_of_another_run_say_nothing_of_the_time_between(watched: Watched) -> None:
    watched.read(NOON, 0)
    watched.read(NOON + 10, 1000)
    watched.read(NOON + 3600, 50, run=2)
    assert watched.rate == pytest.approx(100)
    watched.read(NOON + 3610, 1050, run=2)
    assert watched.rate == pytest.approx(100)
    assert watched.known.heat.observed_s == pytest.approx(20)


def test_counter_that_began_anew_within_a_run_is_a_new_start(watched: Watched) -> None:
    """A disk that was detached and attached again."""
    watched.read(NOON, 100_000)
    watched.read(NOON + 10, 101_000)
    watched.read(NOON + 20, 10)
    watched.read(NOON + 30, 1010)
    assert watched.rate == pytest.approx(100)
    assert watched.known.heat.observed_s == pytest.approx(20)


def test_heat_stays_while_a_busy_guest_gives_no_counters(watched: Watched) -> None:
    """And what it did meanwhile is known from the next ones."""
    watched.read(NOON, 0)
    watched.read(NOON + 10, 1000)
    for number in range(1, 60):
        watched.read(NOON + 10 + 60 * number, None)
        assert watched.rate == pytest.approx(100)
    watched.read(NOON + 3610, 361_000)
    assert watched.rate == pytest.approx(100)
    assert watched.known.heat.observed_s == pytest.approx(3610)


def test_disk_of_a_stopped_vm_cools_while_its_host_is_read(watched: Watched) -> None:
    watched.read(NOON, 0)
    watched.read(NOON + 86_400, 8_640_000)
    before = watched.rate
    for number in range(1, 2 * 24 * 6):
        watched.read(NOON + 86_400 + 600 * number, 0, domains=False)
    assert watched.rate < before / 2
    assert watched.known.heat.accessed_at == NOON + 86_400


def test_heat_stays_while_a_host_is_not_read(watched: Watched) -> None:
    """Of a disk in use and of one that is not."""
    watched.read(NOON, 0)
    watched.read(NOON + 86_400, 8_640_000)
    before = watched.rate
    watched.read(NOON + 86_415, 0, domains=False)
    assert watched.rate == pytest.approx(before, rel=1e-3)
    for days in (2, 3, 4):
        watched.read(NOON + days * 86_400, 0, domains=False)
        assert watched.rate == pytest.approx(before, rel=1e-3)
    watched.read(NOON + 5 * 86_400, 5, run=2)
    assert watched.rate == pytest.approx(before, rel=1e-3)


def test_vm_that_stops_after_it_was_not_read_for_long_leaves_its_disk_warm(watched: Watched) -> None:
    watched.read(NOON, 0)
    watched.read(NOON + 86_400, 8_640_000)
    before = watched.rate
    watched.read(NOON + 86_500, None)
    watched.read(NOON + 3 * 86_400, 0, domains=False)
    assert watched.rate == pytest.approx(before, rel=1e-3)


def test_detached_disk_is_in_use_no_more(watched: Watched) -> None:
    watched.read(NOON, 0)
    watched.read(NOON + 10, 1000)
    watched.disks.attached = False
    watched.read(NOON + 20, 1000)
    assert not watched.known.attached
    watched.disks.attached = True
    watched.read(NOON + 30, 0)
    watched.read(NOON + 40, 1000)
    assert watched.known.reads + watched.known.writes == 2000


def test_hours_get_their_share_of_an_interval(watched: Watched) -> None:
    """Also across midnight, and nothing is counted twice."""
    midnight = 20_001.0 * DAY_S
    watched.read(midnight - HOUR_S, 0)
    watched.read(midnight - 1800, None)
    watched.read(midnight + 2 * HOUR_S, 30_000)
    first, second = (watched.known.days[day] for day in (20_000, 20_001))
    assert list(first.measure("operations")) == [0.0] * 23 + [10_000]
    assert list(second.measure("operations")) == [10_000, 10_000] + [0.0] * 22
    assert second.measure("observed_s")[1] == HOUR_S
    assert second.measure("took_s")[0] == pytest.approx(20)
    assert first.tier == "warm"


def test_latencies_are_those_of_the_tier(watched: Watched) -> None:
    watched.read(NOON, 0)
    for number in range(1, 11):
        watched.read(NOON + 15 * number, 3000 * number)
    found = watched.book.latencies.percentiles(HOST, "warm", NOON + 200)
    assert found is not None
    assert found == pytest.approx((2.0, 2.0), rel=0.06)
    assert watched.book.latencies.percentiles(HOST, "warm", NOON + 200 + 26 * HOUR_S) is None
    assert watched.book.latencies.percentiles(HOST, "hot", NOON) is None


def test_faster_time_makes_the_same_rates(watched: Watched) -> None:
    """Of a clock that runs 1000 times as fast, a guest does 1000 times as much."""
    fast = Watched(speed=1000.0)
    fast.book.clock = HeatClock(1000.0)
    start = fast.book.clock._start
    for number in range(5):
        fast.read(start + 15 * number, 3000 * number)
    assert fast.rate == pytest.approx(200)
    assert fast.known.heat.observed_s == pytest.approx(60_000)


def test_new_volume_is_watched_from_now_on_and_a_deleted_one_is_forgotten(watched: Watched) -> None:
    watched.disks.attached = False
    watched.book.know([ROW])
    assert not watched.book.volumes  # its host was not read yet
    watched.read(NOON, 0)
    watched.book.know([ROW])
    watched.read(NOON + GAP_S / 2, 0)
    assert watched.book.heat(watched.known).observed_s == GAP_S / 2
    watched.book.know([])
    assert not watched.book.volumes
    assert not watched.book.changed


def test_all_times_follow_a_clock_that_was_set(watched: Watched) -> None:
    watched.read(NOON, 0)
    watched.read(NOON + 10, 1000)
    for shift in (86_400.0, -2 * 86_400.0):
        watched.book.shift(shift)
        assert watched.rate == pytest.approx(100)
    assert watched.known.heat.at == NOON + 10 - 86_400
    assert watched.known.heat.accessed_at == NOON + 10 - 86_400
    watched.read(NOON + 20 - 86_400, 2000)
    assert watched.rate == pytest.approx(100)
