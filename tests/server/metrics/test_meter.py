"""Readings to samples: a VM from its first reading through pause, restart and missing values to its end."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from novacron_core.api.vms import State
from novacron_server.hypervisor.facts import DomainFacts
from novacron_server.hypervisor.statistics.counters import (
    DiskCounters,
    DomainCounters,
    HostCounters,
    NICCounters,
    Reading,
)
from novacron_server.hypervisor.statistics.reader import clock
from novacron_server.metrics import meter
from novacron_server.metrics.latest import LatestSamples
from novacron_server.metrics.meter import HostMeter

MIB = 1024**2
WHEN = datetime(2026, 1, 1, tzinfo=UTC)


def facts(period: int | None = 5) -> DomainFacts:
    return DomainFacts(uuid="u", name="web", state=State.RUNNING, vcpus=2, memory_period_s=period)


def quick(
    at: float, cpu_s: float, *, run: int = 1, updated: int | None = 1, usable: int = 100, **more: Any
) -> DomainCounters:
    nics = (NICCounters("vnet0", int(at * 1000), int(at * 10)),)
    memory = (256 * MIB, 200 * MIB, usable * MIB, updated) if updated is not None else (256 * MIB, None, None, None)
    given, seen, available, updated = memory
    return DomainCounters("u", run, at, int(cpu_s * 1e9), given, seen, available, updated, nics, **more)


def disks(at: float, total: int, *, run: int = 1) -> DomainCounters:
    return DomainCounters("u", run, at, disks=(DiskCounters("vda", total, total // 100, 2 * total, total // 100),))


class FakeHost:
    """A host meter that gets its readings from the test."""

    def __init__(self, period: int | None = 5) -> None:
        self.host = HostMeter()
        self._facts = {"u": facts(period)}

    def quick(self, *domains: DomainCounters, host: HostCounters | None = None) -> Any:
        self._take("quick", domains, host)
        return self.host.vms["u"].sample if "u" in self.host.vms else None

    def disks(self, *domains: DomainCounters) -> None:
        self._take("disks", domains, None)

    def _take(self, group: Any, domains: Any, host: Any) -> None:
        at = domains[0].at if domains else 0.0
        reading = Reading(group=group, time=WHEN, at=at, took_s=0.01, domains=list(domains), host=host)
        self.host.record(reading, self._facts, 4, 5.0)


def test_first_reading_has_memory_and_the_second_also_rates() -> None:
    fake = FakeHost()
    first = fake.quick(quick(100, 50))
    assert (first.cpu_cores, first.cpu_percent, first.net_sent_bytes_s) == (None, None, None)
    assert (first.memory_used_bytes, first.memory_given_bytes) == (100 * MIB, 256 * MIB)
    second = fake.quick(quick(105, 55))
    assert (second.cpu_cores, second.cpu_percent) == (1.0, 50.0)
    assert (second.net_received_bytes_s, second.net_sent_bytes_s) == (1000, 10)
    assert (second.disk_read_bytes_s, second.disk_age_s) == (None, None)


def test_paused_guest_has_zero_usage() -> None:
    fake = FakeHost()
    fake.quick(quick(100, 50))
    assert fake.quick(quick(105, 50)).cpu_cores == 0.0


def test_restarted_guest_has_no_rate_for_that_interval() -> None:
    fake = FakeHost()
    fake.quick(quick(100, 50))
    fake.disks(disks(100, 10**6))
    fake.disks(disks(115, 10**7))
    fake.quick(quick(116, 60))
    again = fake.quick(quick(121, 900, run=2))  # the counter is even larger: only the run number differs
    assert (again.cpu_cores, again.net_sent_bytes_s, again.disk_read_bytes_s) == (None, None, None)
    assert fake.quick(quick(126, 905, run=2)).cpu_cores == 1.0


def test_decreased_counter_gives_no_rate_once() -> None:
    fake = FakeHost()
    fake.quick(quick(100, 50))
    assert fake.quick(quick(105, 1)).cpu_cores is None
    assert fake.quick(quick(110, 6)).cpu_cores == 1.0


def test_stopped_guest_has_no_sample_and_starts_without_rates() -> None:
    fake = FakeHost()
    fake.quick(quick(100, 50))
    assert fake.quick() is None
    assert fake.quick(quick(110, 60)).cpu_cores is None


def test_disk_rates_have_an_age_and_expire() -> None:
    fake = FakeHost()
    fake.disks(disks(100, 1_000))
    fake.disks(disks(110, 11_000))
    sample = fake.quick(quick(114, 1))
    assert (sample.disk_read_bytes_s, sample.disk_write_bytes_s, sample.disk_age_s) == (1000, 2000, 4.0)
    assert (sample.disk_reads_s, sample.disk_writes_s) == (10.0, 10.0)
    assert fake.quick(quick(400, 2)).disk_read_bytes_s is None


def test_disk_rate_after_a_job_spans_the_missing_readings() -> None:
    fake = FakeHost()
    fake.disks(disks(100, 1_000))
    fake.disks(disks(110, 11_000))
    fake.disks(DomainCounters("u", 1, 120))
    assert fake.quick(quick(121, 1)).disk_read_bytes_s == 1000
    fake.disks(disks(130, 51_000))
    assert fake.quick(quick(131, 2)).disk_read_bytes_s == 2000


def test_memory_value_is_kept_for_a_while_during_a_job() -> None:
    fake = FakeHost()
    fake.quick(quick(100, 50))
    busy = fake.quick(quick(105, 51, updated=None))
    assert (busy.memory_used_bytes, busy.memory_age_s, busy.memory_note) == (100 * MIB, 5.0, "")
    again = fake.quick(quick(110, 52, updated=2, usable=50))
    assert (again.memory_used_bytes, again.memory_age_s) == (150 * MIB, 0.0)
    for at in range(115, 115 + int(meter.MEMORY_STALE_S), 5):
        silent = fake.quick(quick(at, 53, updated=None))
    assert (silent.memory_used_bytes, silent.memory_note) == (150 * MIB, "")
    silent = fake.quick(quick(300, 53, updated=None))
    assert (silent.memory_used_bytes, silent.memory_note) == (None, meter.SILENT)
    assert fake.quick(quick(305, 54, updated=None, run=2)).memory_note == meter.NO_REPORT


def test_missing_memory_value_has_a_note() -> None:
    for period, why in ((None, meter.NO_BALLOON), (0, meter.NOT_POLLED), (5, meter.NO_REPORT)):
        sample = FakeHost(period).quick(quick(100, 1, updated=None))
        assert (sample.memory_used_bytes, sample.memory_age_s, sample.memory_note) == (None, None, why)
        assert sample.memory_given_bytes == 256 * MIB


def test_memory_has_an_age_and_a_silent_balloon_no_value() -> None:
    fake = FakeHost()
    fake.quick(quick(100, 1, updated=7))
    assert fake.quick(quick(105, 1, updated=7)).memory_age_s == 5.0
    assert fake.quick(quick(110, 1, updated=8)).memory_age_s == 0.0
    late = fake.quick(quick(110 + meter.MEMORY_STALE_S + 1, 1, updated=8))
    assert (late.memory_used_bytes, late.memory_note) == (None, meter.SILENT)


def test_host_has_its_own_sample() -> None:
    fake = FakeHost()
    fake.quick(quick(100, 1), host=HostCounters(100, 1_000, 9_000, 1000 * MIB, 400 * MIB))
    assert (fake.host.sample.cpu_percent, fake.host.sample.memory_used_bytes) == (None, 400 * MIB)
    fake.quick(quick(105, 1), host=HostCounters(105, 2_000, 12_000, 1000 * MIB, 400 * MIB))
    assert (fake.host.sample.cpu_percent, fake.host.sample.cpu_cores) == (25.0, 1.0)


async def test_stale_sample_is_not_current() -> None:
    from novacron_server.hypervisor.statistics.reader import clock

    board = LatestSamples()
    now = clock()
    for at, there in ((now - 3600, False), (now, True)):
        reading = Reading(group="quick", time=WHEN, at=at, took_s=0, domains=[quick(at, 1)])
        await board.record("h", reading, {"u": facts()}, 4, 5.0)
        assert (board.sample("h", "u") is not None) is there


async def test_migrated_guest_has_no_rate_across_hosts() -> None:
    """Its counters start anew on the other host: no rate may combine both, even if the run number and the counters
    would allow it."""
    board = LatestSamples()

    async def read(host: str, at: float, *domains: DomainCounters) -> None:
        reading = Reading(group="quick", time=WHEN, at=at, took_s=0.01, domains=list(domains))
        await board.record(host, reading, {"u": facts()}, 4, 5.0)

    def cores(host: str) -> float | None:
        sample = board.sample(host, "u")
        assert sample is not None
        return sample.cpu_cores

    now = clock()
    await read("a", now - 10, quick(now - 10, 50))
    await read("a", now - 5, quick(now - 5, 55))
    assert cores("a") == 1.0
    await read("b", now - 4, quick(now - 4, 900))
    await read("a", now - 1)
    assert board.sample("a", "u") is None
    assert cores("b") is None
    await read("b", now, quick(now, 902))
    assert cores("b") == 0.5
