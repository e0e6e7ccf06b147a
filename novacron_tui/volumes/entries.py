"""A volume with the VM that uses it and the operation that runs on it."""

from __future__ import annotations

from dataclasses import dataclass

from novacron_core.api.operations import Operation
from novacron_core.api.samples import HeatSample
from novacron_core.api.vms import VM
from novacron_core.api.volumes import Volume
from novacron_core.rules.operation_words import noun
from novacron_core.rules.tiering.heat import ROLES
from novacron_core.rules.volume_actions import VolumeAction, why_not_volume
from novacron_tui.connection.store import Store


@dataclass(frozen=True, slots=True)
class VolumeEntry:
    """One row of the list. `operation` runs on the volume. `heat` is None where it is not known, `pool_type` empty."""

    volume: Volume
    vm: VM | None
    operation: Operation | None
    heat: HeatSample | None = None
    pool_type: str = ""

    @property
    def id(self) -> str:
        return self.volume.id

    def why_not(self, action: VolumeAction, vm: VM | None, store: Store) -> str | None:
        """The sentence that refuses `action` now, or None. `vm` is its VM, or the one to attach it to."""
        vm_operation = store.operation_on(vm) if vm else None
        return why_not_volume(
            action, self.volume, vm, operation=self.operation, vm_operation=vm_operation, pool_type=self.pool_type
        )


def entries(store: Store) -> list[VolumeEntry]:
    """Every visible volume."""
    types = _pool_types(store)
    return [entry_of(store, volume, types) for volume in store.volumes.values()]


def _pool_types(store: Store) -> dict[tuple[str, str], str]:
    """The types of pools by host and name."""
    return {(pool.host, pool.name): pool.type for pool in store.pools.values()}


def entry_of(store: Store, volume: Volume, pool_types: dict[tuple[str, str], str] | None = None) -> VolumeEntry:
    """A volume with its VM and operation. `pool_types` spares many of them a search for their pools."""
    vm = store.vms.get((volume.host, volume.vm)) if volume.vm else None
    types = _pool_types(store) if pool_types is None else pool_types
    pool_type = types.get((volume.host, volume.pool), "")
    return VolumeEntry(volume, vm, store.operation_on(volume), heat_of(store, volume), pool_type)


def heat_of(store: Store, volume: Volume) -> HeatSample | None:
    """The newest heat of a volume; None where it is not known, and where there is none."""
    return store.samples.heat.get(volume.id) if volume.role in ROLES else None


def why_not_cancel(entry: VolumeEntry, _store: Store) -> str | None:
    """The sentence that refuses to cancel the operation on a volume, or None."""
    if entry.operation is None:
        return f"{entry.volume.name} has no running operation"
    if not entry.operation.may_cancel:
        return f"{entry.volume.name}: {noun(entry.operation.kind)} cannot be cancelled at this step"
    return None
