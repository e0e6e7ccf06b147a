"""Counters to rates, and when there must be no rate."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novacron_server.hypervisor.statistics.counters import DiskCounters, DomainCounters, HostCounters, NICCounters
from novacron_server.metrics import rates


def domain(at: float, *, run: int = 1, cpu_s: float = 0.0) -> DomainCounters:
    return DomainCounters("u", run, at, int(cpu_s * 1e9))


@pytest.mark.parametrize(
    ("before", "now", "seconds"),
    [
        (None, domain(10), None),
        (domain(5), domain(10), 5.0),
        (domain(5, run=1), domain(10, run=2), None),  # restarted meanwhile
        (domain(10), domain(10), None),
        (domain(10), domain(5), None),
        (domain(10), domain(10.2), None),  # too short
        (domain(10), domain(10 + rates.LONGEST_S + 1), None),  # too long to represent the present
    ],
)
def test_interval_requires_two_readings_of_one_run(before: Any, now: Any, seconds: Any) -> None:
    assert rates.interval(before, now) == seconds


def test_cpu_rate_is_in_cores_and_limited_to_the_hosts_cores() -> None:
    assert rates.cpu_cores(domain(0, cpu_s=10), domain(5, cpu_s=20), 5, host_cpus=4) == 2.0
    assert rates.cpu_cores(domain(0, cpu_s=10), domain(5, cpu_s=10), 5, host_cpus=4) == 0.0  # paused: zero is correct
    assert rates.cpu_cores(domain(0, cpu_s=10), domain(5, cpu_s=9), 5, host_cpus=4) is None
    assert rates.cpu_cores(domain(0, cpu_s=0), domain(5, cpu_s=9_000_000), 5, host_cpus=4) is None
    assert rates.cpu_cores(DomainCounters("u", 1, 0), domain(5, cpu_s=1), 5, host_cpus=4) is None


def disk(target: str, total: int) -> DiskCounters:
    return DiskCounters(target, total, total // 10, total, total // 10)


def test_new_or_reset_disk_has_no_rate_but_the_others_have() -> None:
    before = (disk("vda", 100), disk("vdb", 1000), disk("vdc", 7))
    now = (disk("vda", 200), disk("vdb", 10), disk("vdd", 50))
    assert rates.disk_rates(before, now, 10) == {"vda": rates.DiskRate(10, 10, 1, 1)}
    assert rates.disk_rates(None, now, 10) == {}
    assert rates.disk_rates(before, None, 10) == {}


def test_network_rate_is_the_sum_of_the_interfaces_with_a_rate() -> None:
    before = (NICCounters("a", 100, 10), NICCounters("b", 900, 9))
    now = (NICCounters("a", 200, 30), NICCounters("b", 1, 99), NICCounters("c", 5, 5))
    assert rates.net_rate(before, now, 10) == rates.NICRate(10, 2)
    assert rates.net_rate(before, (NICCounters("z", 1, 1),), 10) is None
    assert rates.net_rate(before, None, 10) is None


def test_host_with_unchanged_or_decreased_counters_has_no_rate() -> None:
    assert rates.host_busy(HostCounters(0, 10, 90), HostCounters(1, 20, 120)) == 0.25
    assert rates.host_busy(HostCounters(0, 10, 90), HostCounters(1, 10, 90)) is None
    assert rates.host_busy(HostCounters(0, 10, 90), HostCounters(1, 5, 95)) is None
    assert rates.host_busy(None, HostCounters(1, 5, 95)) is None
    assert rates.host_busy(HostCounters(0), HostCounters(1, 5, 95)) is None


_counter = st.none() | st.integers(min_value=0, max_value=2**63 - 1)


@given(before=_counter, now=_counter, seconds=st.floats(rates.SHORTEST_S, rates.LONGEST_S))
def test_rates_are_never_negative(before: Any, now: Any, seconds: Any) -> None:
    rate = rates.per_second(before, now, seconds)
    assert rate is None or rate >= 0
