"""Totals over VMs. Pure. A value that no VM reports is None, never 0."""

from __future__ import annotations

from collections.abc import Iterable

from novacron_core.api.samples import VMSample
from novacron_core.api.usage import UsageTotals
from novacron_server.metrics.meter import rounded

_INTEGERS = (
    "memory_used_bytes",
    "memory_given_bytes",
    "disk_read_bytes_s",
    "disk_write_bytes_s",
    "net_received_bytes_s",
    "net_sent_bytes_s",
)
_FRACTIONS = ("disk_reads_s", "disk_writes_s")


def total(found: Iterable[tuple[VMSample, int]]) -> UsageTotals:
    """The totals over samples, each given with its VM's number of vCPUs."""
    samples = list(found)
    sums = {
        name: _sum(getattr(sample, name) for sample, _ in samples) for name in (*_INTEGERS, *_FRACTIONS, "cpu_cores")
    }
    vcpus = sum(count for sample, count in samples if sample.cpu_cores is not None)
    cores = sums["cpu_cores"]
    return UsageTotals(
        vms=len(samples),
        cpu_cores=rounded(cores, 3),
        cpu_percent=rounded(cores / vcpus * 100, 1) if cores is not None and vcpus else None,
        disk_reads_s=rounded(sums["disk_reads_s"], 1),
        disk_writes_s=rounded(sums["disk_writes_s"], 1),
        **{name: None if (found_sum := sums[name]) is None else round(found_sum) for name in _INTEGERS},
    )


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
