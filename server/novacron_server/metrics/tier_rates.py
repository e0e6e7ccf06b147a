"""What the VMs' disks of a tier do together, for who draws tiers."""

from __future__ import annotations

from collections.abc import Sequence

from novacron_server.inventory.compose_storage import DiskRates, RatesOf
from novacron_server.metrics.board import Board


def rates_on(board: Board) -> RatesOf:
    """The sum over disks, each (host id, VM id, target), that have a rate now; as old as the oldest of them. None where
    none has."""

    def rates(disks: Sequence[tuple[str, str, str]]) -> DiskRates | None:
        found = []
        times = []
        for host_id, vm_id, target in disks:
            rate, time = board.disk_rates(host_id, vm_id).get(target), board.host(host_id).time
            if rate is not None and time is not None:
                found.append(rate)
                times.append(time)
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
