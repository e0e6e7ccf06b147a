"""The total I/O rates of the VM disks in a tier, for the composition of tiers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from novacron_server.inventory.compose_storage import DiskRates, RatesOf
from novacron_server.metrics.latest import LatestSamples


def rates_on(latest: LatestSamples) -> RatesOf:
    """A function that sums the current rates of disks, each (host id, VM id, target). The sum's time is that of the
    oldest rate. It returns None if no disk has a rate."""

    def rates(disks: Sequence[tuple[str, str, str]]) -> DiskRates | None:
        found = []
        times = []
        for host_id, vm_id, target in disks:
            meter, host = latest.meter(host_id, vm_id), latest.host(host_id)
            rate = meter.disks.get(target) if meter else None
            if rate is not None and meter is not None and meter.disk_at is not None and host.time is not None:
                found.append(rate)
                times.append(host.time - timedelta(seconds=max(0.0, host.at - meter.disk_at)))
        if not found:
            return None
        return DiskRates(
            read_bytes_s=sum(rate.read_bytes_s for rate in found),
            write_bytes_s=sum(rate.write_bytes_s for rate in found),
            reads_s=sum(rate.reads_s for rate in found),
            writes_s=sum(rate.writes_s for rate in found),
            at=min(times),
        )

    return rates
