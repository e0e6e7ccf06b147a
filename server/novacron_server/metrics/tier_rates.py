"""What the VMs' disks of a tier do together, for who draws tiers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from novacron_server.inventory.compose_storage import DiskRates, RatesOf
from novacron_server.metrics.latest import LatestSamples


def rates_on(board: LatestSamples) -> RatesOf:
    """The sum over disks, each (host id, VM id, target), that have a rate now; as old as the oldest of them. None where
    none has."""

    def rates(disks: Sequence[tuple[str, str, str]]) -> DiskRates | None:
        found = []
        times = []
        for host_id, vm_id, target in disks:
            meter, host = board.meter(host_id, vm_id), board.host(host_id)
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
