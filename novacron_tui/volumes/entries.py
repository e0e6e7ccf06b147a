"""A volume with the VM that uses it and the operation that runs on it."""

from __future__ import annotations

from dataclasses import dataclass

from novacron_core.api.operations import Operation
from novacron_core.api.vms import VM
from novacron_core.api.volumes import Volume
from novacron_tui.connection.store import Store


@dataclass(frozen=True, slots=True)
class VolumeEntry:
    """One row of the list. `operation` is the newest known version, from whichever frame."""

    volume: Volume
    vm: VM | None
    operation: Operation | None

    @property
    def id(self) -> str:
        return self.volume.id


def entries(store: Store) -> list[VolumeEntry]:
    """Every visible volume."""
    return [_entry(store, volume) for volume in store.volumes.values()]


def _entry(store: Store, volume: Volume) -> VolumeEntry:
    vm = store.vms.get((volume.host, volume.vm)) if volume.vm else None
    held = volume.operation
    operation = store.operations.get(held.id, held) if held else None
    return VolumeEntry(volume, vm, None if operation and operation.state.ended else operation)


def why_not_cancel(entry: VolumeEntry) -> str | None:
    """The sentence that refuses to cancel the operation on a volume, or None."""
    if entry.operation is None:
        return f"{entry.volume.name} has no running operation"
    if not entry.operation.may_cancel:
        return f"{entry.volume.name}: {entry.operation.kind} cannot be cancelled at this step"
    return None
