"""What a tier's disks do together."""

from __future__ import annotations

from datetime import UTC, datetime

from novacron_server.hypervisor.statistics.counters import DiskCounters, DomainCounters, Reading
from novacron_server.hypervisor.statistics.reader import clock
from novacron_server.metrics.latest import LatestSamples
from novacron_server.metrics.tier_rates import rates_on

WHEN = datetime(2026, 1, 1, tzinfo=UTC)


def read(board: LatestSamples, host: str, at: float, **totals: int) -> None:
    """A reading of VM `u` with these disks: bytes read so far; twice as many written, a hundredth of requests."""
    disks = tuple(DiskCounters(name, total, total // 100, 2 * total, total // 100) for name, total in totals.items())
    for group in ("quick", "disks"):
        counters = DomainCounters("u", 1, at, disks=disks if group == "disks" else ())
        board.host(host).record(
            Reading(group=group, time=WHEN, at=at, took_s=0.01, domains=[counters], host=None), {}, 4, 5.0
        )


def test_the_rates_of_disks_that_have_one_are_summed_over_hosts() -> None:
    board = LatestSamples()
    rates = rates_on(board)
    disks = [("a", "u", "vda"), ("a", "u", "vdb"), ("b", "u", "vda"), ("b", "gone", "vda")]
    assert rates(disks) is None
    now = clock()
    for host in ("a", "b"):
        read(board, host, now - 10, vda=0, vdb=0)
    assert rates(disks) is None  # one reading makes no rate
    read(board, "a", now, vda=1000, vdb=3000)
    read(board, "b", now, vda=6000, vdb=0)
    found = rates(disks)
    assert found is not None
    assert (found.read_bytes_s, found.write_bytes_s, found.reads_s, found.at) == (1000, 2000, 10, WHEN)
    assert rates([("a", "u", "vdb")]) is not None
    assert rates([("a", "u", "sda")]) is None


def test_rates_of_disks_that_were_read_earlier_are_as_old_as_they_are() -> None:
    """A guest that is busy with a job, a move above all, tells nothing of its disks meanwhile."""
    board, now = LatestSamples(), clock()
    read(board, "a", now - 70, vda=0)
    read(board, "a", now - 60, vda=1000)
    quick = Reading(group="quick", time=WHEN, at=now, took_s=0.01, domains=[DomainCounters("u", 1, now)], host=None)
    board.host("a").record(quick, {}, 4, 5.0)
    found = rates_on(board)([("a", "u", "vda")])
    assert found is not None
    assert abs((WHEN - found.at).total_seconds() - 60) < 0.1
