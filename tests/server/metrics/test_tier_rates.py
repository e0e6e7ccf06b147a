"""The total rates of a tier's disks."""

from __future__ import annotations

from datetime import UTC, datetime

from novacron_server.hypervisor.statistics.counters import DiskCounters, DomainCounters, Reading
from novacron_server.hypervisor.statistics.reader import clock
from novacron_server.metrics.latest import LatestSamples
from novacron_server.metrics.tier_rates import rates_on

WHEN = datetime(2026, 1, 1, tzinfo=UTC)


def read(latest: LatestSamples, host: str, at: float, **totals: int) -> None:
    """Record a reading of VM `u`: bytes read by disk, twice as many written, a hundredth as many requests."""
    disks = tuple(DiskCounters(name, total, total // 100, 2 * total, total // 100) for name, total in totals.items())
    for group in ("quick", "disks"):
        counters = DomainCounters("u", 1, at, disks=disks if group == "disks" else ())
        latest.host(host).record(
            Reading(group=group, time=WHEN, at=at, took_s=0.01, domains=[counters], host=None), {}, 4, 5.0
        )


def test_disk_rates_are_summed_over_hosts() -> None:
    latest = LatestSamples()
    rates = rates_on(latest)
    disks = [("a", "u", "vda"), ("a", "u", "vdb"), ("b", "u", "vda"), ("b", "gone", "vda")]
    assert rates(disks) is None
    now = clock()
    for host in ("a", "b"):
        read(latest, host, now - 10, vda=0, vdb=0)
    assert rates(disks) is None  # there is no rate after one reading
    read(latest, "a", now, vda=1000, vdb=3000)
    read(latest, "b", now, vda=6000, vdb=0)
    found = rates(disks)
    assert found is not None
    assert (found.read_bytes_s, found.write_bytes_s, found.reads_s, found.at) == (1000, 2000, 10, WHEN)
    assert rates([("a", "u", "vdb")]) is not None
    assert rates([("a", "u", "sda")]) is None


def test_sum_has_the_age_of_the_oldest_rate() -> None:
    """During a job such as a move, a guest reports no disk counters."""
    latest, now = LatestSamples(), clock()
    read(latest, "a", now - 70, vda=0)
    read(latest, "a", now - 60, vda=1000)
    quick = Reading(group="quick", time=WHEN, at=now, took_s=0.01, domains=[DomainCounters("u", 1, now)], host=None)
    latest.host("a").record(quick, {}, 4, 5.0)
    found = rates_on(latest)([("a", "u", "vda")])
    assert found is not None
    assert abs((WHEN - found.at).total_seconds() - 60) < 0.1
