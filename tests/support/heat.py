"""Volumes whose disks are read by a test, and a clock of heat that it sets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from novacron_server.inventory.rows import VolumeRow
from novacron_server.inventory.storage_state import StorageState
from novacron_server.tiering.clock import HeatClock


class ReadingsClock(HeatClock):
    """Readings come with the times of heat. `time` is what it is now."""

    def __init__(self, now: float = 0.0, speed: float = 1.0) -> None:
        super().__init__(speed)
        self.time = now

    def at(self, boot_s: float) -> float:
        return boot_s

    def now(self) -> float:
        return self.time

    def adjust(self) -> float:
        return 0.0


class Disks(StorageState):
    """Storage whose volumes are each the disk `vda` of a VM of the same id. `attached`: the VMs have them now."""

    def __init__(self, rows: Iterable[VolumeRow]) -> None:
        super().__init__({}, {}, {})
        self.attached = True
        self.volume_rows = {(row.host_id, row.pool, row.name): row for row in rows}

    def disks_on(self, host_id: str) -> Iterator[tuple[VolumeRow, str | None, str, str]]:
        for row in self.volume_rows.values() if self.attached else ():
            if row.host_id == host_id:
                yield row, row.tier, row.id, "vda"
