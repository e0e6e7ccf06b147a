"""The storage part of the inventory state: volumes, pools and tiers, composed when facts or rows change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import msgspec

from novacron_core.api.hosts import HostStatus
from novacron_core.api.operations import Operation
from novacron_core.api.pools import Pool
from novacron_core.api.tiers import Tier
from novacron_core.api.volumes import Volume
from novacron_core.values.tiers import TIERS
from novacron_server.hypervisor.facts import PoolFacts, VolumeFacts
from novacron_server.hypervisor.specs import with_creation_format
from novacron_server.inventory.compose import HostView, KnownDomain
from novacron_server.inventory.compose_storage import (
    RatesOf,
    VolumeUse,
    compose_pool,
    compose_tier,
    compose_volume,
    with_volumes,
)
from novacron_server.inventory.operation_files import OperationFiles
from novacron_server.inventory.rows import PoolRow, VolumeRow
from novacron_server.inventory.storage_changes import (
    PublishedStorage,
    StorageChanges,
    VolumeKey,
    vms_with_changed_disks,
)
from novacron_server.inventory.volume_listing import VolumeListing, compare
from novacron_server.inventory.volume_uses import find_uses

FOLDER = "dir"  # libvirt's format of a folder in a pool, which it lists as a volume
ManagedTier = Callable[[str, str], str | None]
"""(host id, pool UUID) → the tier of a managed pool, None for any other pool."""


@dataclass
class _HostStorage:
    """The state of one host's storage."""

    pool_facts: dict[str, PoolFacts] = field(default_factory=dict)
    volume_facts: dict[VolumeKey, VolumeFacts] = field(default_factory=dict)
    uses: dict[VolumeKey, VolumeUse] = field(default_factory=dict)
    volumes: dict[VolumeKey, Volume] = field(default_factory=dict)
    unmanaged: dict[str, VolumeKey] = field(default_factory=dict)
    """The key of each unmanaged volume, by its id; of two with the same id the first."""
    pools: dict[str, Pool] = field(default_factory=dict)
    tiers: dict[str, str | None] = field(default_factory=dict)
    """Of its pools, by name."""
    seen_at: datetime | None = None
    lost: str = ""
    """That its host does not respond, as a sentence; empty while it does."""


class StorageState:
    """Used from one asyncio loop. `views`, `known` and `running` are those of InventoryState."""

    def __init__(
        self,
        views: Mapping[str, HostView],
        known: Mapping[tuple[str, str], KnownDomain],
        running: Mapping[str, Operation],
        managed_tier: ManagedTier = lambda _host, _uuid: None,
        rates_of: RatesOf = lambda _disks: None,
    ) -> None:
        self.volume_rows: dict[tuple[str, str, str], VolumeRow] = {}
        self.pool_rows: dict[tuple[str, str], PoolRow] = {}
        self.operation_files = OperationFiles()
        self.notes: dict[tuple[str, str], str] = {}
        """(host id, tier) → why the host has no pool for that tier."""
        self._rates_of = rates_of
        self._views, self._known, self._running, self._managed_tier = views, known, running, managed_tier
        self._hosts: dict[str, _HostStorage] = {}
        self._row_keys: dict[str, tuple[str, str, str]] = {}
        self._published = PublishedStorage()

    # -- reading ---------------------------------------------------------------------------------------------------

    def volumes(self) -> Iterator[Volume]:
        return (volume for storage in self._hosts.values() for volume in storage.volumes.values())

    def volumes_on(self, host_id: str) -> Mapping[VolumeKey, Volume]:
        storage = self._hosts.get(host_id)
        return storage.volumes if storage else {}

    def volume(self, volume_id: str) -> Volume | None:
        if key := self._row_keys.get(volume_id):
            return self.volumes_on(key[0]).get(key[1:])
        for storage in self._hosts.values():
            own = storage.unmanaged.get(volume_id)
            volume = storage.volumes.get(own) if own else None
            if volume is not None and volume.id == volume_id:  # a row may have given it another id meanwhile
                return volume
        return None

    def row_without_volume(self, host_id: str, pool: str, name: str) -> VolumeRow | None:
        """The row of a volume that is missing from its active pool, with no operation running on it: it was removed
        outside NovaCron."""
        row, storage = self.volume_rows.get((host_id, pool, name)), self._hosts.get(host_id)
        if row is None or storage is None or (pool, name) in storage.volume_facts:
            return None
        busy = row.id in self._running or (row.vm_id or "") in self._running
        active = any(facts.name == pool and facts.active for facts in storage.pool_facts.values())
        return row if active and not busy else None

    def facts(self, volume: Volume) -> VolumeFacts | None:
        """The last facts of a volume, with the format that it was created with."""
        storage, key = self._hosts.get(volume.host), (volume.pool, volume.name)
        facts = storage.volume_facts.get(key) if storage else None
        return _with_creation_format(facts, self.volume_rows.get((volume.host, *key))) if facts else None

    def use(self, volume: Volume) -> VolumeUse | None:
        """The VM that uses a volume, and how."""
        storage = self._hosts.get(volume.host)
        return storage.uses.get((volume.pool, volume.name)) if storage else None

    def disks_on(self, host_id: str) -> Iterator[tuple[VolumeRow, str | None, str, str]]:
        """The volumes with rows that are disks of a host's VMs, each with its tier, its VM's id and the disk's target."""
        storage = self._hosts.get(host_id)
        for (pool, name), use in storage.uses.items() if storage else ():
            row = self.volume_rows.get((host_id, pool, name))
            if row is not None and storage is not None and use.role == "disk" and use.target:
                yield row, storage.tiers.get(pool), use.vm_id, use.target

    def overlays(self, volume: Volume) -> list[Volume]:
        """The volumes of the same host whose backing file is this volume."""
        storage, base = self._hosts.get(volume.host), self.facts(volume)
        if storage is None or base is None:
            return []
        overlays = (key for key, facts in storage.volume_facts.items() if facts.backing_file == base.path)
        return [found for key in overlays if (found := storage.volumes.get(key)) and found.backing_file]

    def backing_file_of(self, host_id: str, path: str) -> str:
        """The path of the backing file of the volume at `path`, empty for none and for a file that is no volume."""
        storage = self._hosts.get(host_id)
        found = storage.volume_facts.values() if storage else ()
        return next((facts.backing_file for facts in found if facts.path == path), "")

    def has_file(self, host_id: str, pool: str, name: str) -> bool:
        """Whether a pool has a file of that name, even if it is not shown as a volume."""
        storage = self._hosts.get(host_id)
        return storage is not None and (pool, name) in storage.volume_facts

    def names_on(self, host_id: str) -> dict[str, set[str]]:
        """Pool → the names of the host's volumes that have rows."""
        names: dict[str, set[str]] = {}
        for host, pool, name in self.volume_rows:
            if host == host_id:
                names.setdefault(pool, set()).add(name)
        return names

    def pools(self) -> Iterator[Pool]:
        return (pool for storage in self._hosts.values() for pool in storage.pools.values())

    def pools_on(self, host_id: str) -> Mapping[str, Pool]:
        """A host's pools by name; empty until its storage has been read."""
        storage = self._hosts.get(host_id)
        return {pool.name: pool for pool in storage.pools.values()} if storage else {}

    def pool(self, pool_id: str) -> Pool | None:
        return next((pool for pool in self.pools() if pool.id == pool_id), None)

    def pool_facts(self, host_id: str, name: str) -> PoolFacts | None:
        """The last facts of a pool."""
        storage = self._hosts.get(host_id)
        return next((facts for facts in storage.pool_facts.values() if facts.name == name), None) if storage else None

    def tiers(self) -> list[Tier]:
        """The three tiers, fastest first, with their current rates."""
        devices: dict[str, set[int]] = {
            name: {d for _, d in self._pools_of_tier(name) if d is not None} for name in TIERS
        }
        return [self._tier(name, devices) for name in TIERS]

    def tier(self, name: str) -> Tier | None:
        return next((tier for tier in self.tiers() if tier.name == name), None)

    def _tier(self, name: str, devices: dict[str, set[int]]) -> Tier:
        volumes = [volume for volume in self.volumes() if volume.tier == name and volume.format != FOLDER]
        notes = [note for (_, tier), note in sorted(self.notes.items()) if tier == name]
        unread = (
            view for view in self._views.values() if view.status is HostStatus.DOWN and view.id not in self._hosts
        )
        notes += [f"{view.name} does not respond: its pools are unknown" for view in unread]
        return compose_tier(
            name, self._pools_of_tier(name), volumes, devices, self._rates_of(self._disks(volumes)), notes
        )

    def tier_of_volumes(self, tier: Tier, volumes: Sequence[Volume]) -> Tier:
        """A tier with the number, sizes and rates of some of its volumes. The space on its disks stays that of all: it is
        what those volumes have room in."""
        return with_volumes(tier, volumes, self._rates_of(self._disks(volumes)))

    def tenants_volumes(self) -> Iterator[Volume]:
        """The volumes that are of a tenant; of a directory with many thousands of files these are few."""
        for host_id, *key in self._row_keys.values():
            if (volume := self.volumes_on(host_id).get((key[0], key[1]))) and volume.format != FOLDER:
                yield volume

    def _disks(self, volumes: Iterable[Volume]) -> list[tuple[str, str, str]]:
        """Of these volumes the disks of VMs on hosts that respond, each as (host id, VM id, target)."""
        used = ((volume.host, use) for volume in volumes if (use := self.use(volume)) and use.target)
        return [(host_id, use.vm_id, use.target) for host_id, use in used if not self._hosts[host_id].lost]

    def _pools_of_tier(self, name: str) -> list[tuple[Pool, int | None]]:
        return [
            (pool, storage.pool_facts[uuid].device)
            for storage in self._hosts.values()
            for uuid, pool in storage.pools.items()
            if pool.tier == name
        ]

    # -- facts -----------------------------------------------------------------------------------------------------

    def volume_facts_on(self, host_id: str) -> Mapping[VolumeKey, VolumeFacts]:
        """The facts of the last read of a host's volumes; a later read makes a mapping of its own."""
        storage = self._hosts.get(host_id)
        return storage.volume_facts if storage else {}

    def replace(
        self,
        host_id: str,
        pools: Iterable[PoolFacts],
        volumes: Iterable[VolumeFacts] | VolumeListing,
        seen_at: datetime,
    ) -> StorageChanges:
        """Store all pools and volumes of a host. Returns the changes to publish."""
        storage = self._hosts.setdefault(host_id, _HostStorage())
        listing = volumes if isinstance(volumes, VolumeListing) else compare(volumes, storage.volume_facts)
        if listing.before is not storage.volume_facts:
            listing = compare(listing.facts.values(), storage.volume_facts)
        old, first, before = replace(storage), storage.seen_at is None, dict(storage.volumes)
        storage.pool_facts = {facts.uuid: facts for facts in pools}
        storage.volume_facts = listing.facts
        domains = {vm_id: known.facts for (host, vm_id), known in self._known.items() if host == host_id}
        storage.uses = find_uses(domains, self._believed(host_id, storage), storage.pool_facts.values())
        storage.seen_at, storage.lost = seen_at, self._why_lost(host_id)  # it may have been lost during the read
        storage.tiers = tiers = self._tiers_of(host_id, storage)
        same = self._unchanged_unmanaged(host_id, old, storage, listing.unchanged)
        hidden = self.operation_files.on(host_id)
        shown = [key for key in storage.volume_facts if key not in hidden or (host_id, *key) in self.volume_rows]
        storage.volumes = {
            key: msgspec.structs.replace(same[key], seen_at=seen_at)
            if key in same
            else self._compose(host_id, storage, key, tiers)
            for key in shown
        }
        storage.unmanaged = {volume.id: key for key, volume in reversed(storage.volumes.items()) if volume.unmanaged}
        storage.pools = self._compose_pools(host_id, storage, tiers)
        unchanged = {volume.id for volume in same.values()}
        changes = self._published.compare(
            host_id, storage.volumes.values(), storage.pools.values(), self.tiers(), unchanged
        )
        return msgspec.structs.replace(changes, vms=vms_with_changed_disks(before, storage.volumes), first=first)

    def _believed(self, host_id: str, storage: _HostStorage) -> Mapping[VolumeKey, VolumeFacts]:
        """A host's volumes, each with the format that it was created with: a guest can write a qcow2 header into its raw
        disk, and name another tenant's volume there as the backing file."""
        believed = dict(storage.volume_facts)
        for (host, pool, name), row in self.volume_rows.items():
            if host == host_id and (facts := storage.volume_facts.get((pool, name))) is not None:
                believed[pool, name] = _with_creation_format(facts, row)
        return believed

    def _why_lost(self, host_id: str) -> str:
        """That a host does not respond, as a sentence; empty if it does."""
        view = self._views.get(host_id)
        return "" if view is None or view.status is HostStatus.UP else f"{view.name} does not respond"

    def host_lost(self, host_id: str) -> StorageChanges:
        """The host does not respond: what is free in its pools is unknown until the next read. Returns the changes."""
        storage = self._hosts.get(host_id)
        if storage is not None and storage.seen_at is not None and not storage.lost:
            storage.lost = self._why_lost(host_id)
            storage.pools = self._compose_pools(host_id, storage, storage.tiers)
        volumes, pools = (storage.volumes, storage.pools) if storage else ({}, {})
        return self._published.compare(host_id, volumes.values(), pools.values(), self.tiers())

    def _unchanged_unmanaged(
        self, host_id: str, old: _HostStorage, new: _HostStorage, unchanged: frozenset[VolumeKey]
    ) -> dict[VolumeKey, Volume]:
        """The values of unmanaged volumes that are as they were at the last read: of a directory with many thousands of
        files, nearly all. `unchanged` are the keys of those with the same facts."""
        if old.tiers != new.tiers:
            return {}
        uses = old.uses.keys() | new.uses.keys()
        other = {key for key in uses if old.uses.get(key) != new.uses.get(key)}
        other |= {(pool, name) for host, pool, name in self.volume_rows if host == host_id}
        same = unchanged - other if other else unchanged
        return {key: volume for key, volume in old.volumes.items() if volume.unmanaged and key in same}

    def _is_shown(self, host_id: str, key: VolumeKey) -> bool:
        """A file without a row that a running operation creates or removes is not shown as a volume."""
        location = (host_id, *key)
        return location in self.volume_rows or location not in self.operation_files

    def _compose(self, host_id: str, storage: _HostStorage, key: VolumeKey, tiers: Mapping[str, str | None]) -> Volume:
        row, use = self.volume_rows.get((host_id, *key)), storage.uses.get(key)
        facts = _with_creation_format(storage.volume_facts[key], row)
        operation = self._running.get(row.id) if row else None
        view = self._views.get(host_id)
        return compose_volume(
            host_id,
            facts,
            row,
            use,
            storage.seen_at or datetime.min,
            tier=tiers.get(facts.pool),
            operation=operation,
            simulated=view is not None and view.simulated,
        )

    def _tiers_of(self, host_id: str, storage: _HostStorage) -> dict[str, str | None]:
        """Pool name → its tier."""
        return {facts.name: self._tier_of(host_id, facts.uuid)[0] for facts in storage.pool_facts.values()}

    def _tier_of(self, host_id: str, uuid: str) -> tuple[str | None, bool]:
        managed = self._managed_tier(host_id, uuid)
        row = self.pool_rows.get((host_id, uuid))
        return managed or (row.tier if row else None), managed is not None

    def _compose_pools(self, host_id: str, storage: _HostStorage, tiers: Mapping[str, str | None]) -> dict[str, Pool]:
        counts: dict[str, int] = {}
        for (pool, _), volume in storage.volumes.items():
            if volume.format == FOLDER:
                continue
            counts[pool] = counts.get(pool, 0) + 1
        assert storage.seen_at is not None
        return {
            uuid: compose_pool(
                host_id,
                facts,
                storage.pool_facts.values(),
                storage.seen_at,
                tier=tiers[facts.name],
                managed=self._tier_of(host_id, uuid)[1],
                volumes=counts.get(facts.name, 0),
                lost=storage.lost,
            )
            for uuid, facts in storage.pool_facts.items()
        }

    def same_directory(self, host_id: str, pool: str) -> list[Pool]:
        """The host's other pools that have the directory of this one."""
        own = self.pool_facts(host_id, pool)
        storage = self._hosts.get(host_id)
        if own is None or storage is None or not own.directory:
            return []
        same = (facts for facts in storage.pool_facts.values() if facts.directory == own.directory)
        return [storage.pools[facts.uuid] for facts in same if facts.uuid != own.uuid and facts.uuid in storage.pools]

    # -- rows ------------------------------------------------------------------------------------------------------

    def load(self, volumes: Iterable[VolumeRow], pools: Iterable[PoolRow]) -> None:
        """Initialize the rows from the tables."""
        for row in volumes:
            self._put(row)
        self.pool_rows = {(row.host_id, row.uuid): row for row in pools}

    def fold_volume(self, row: VolumeRow, *, gone: bool) -> None:
        """Apply a changed row of `volumes`; a moved volume has another pool now."""
        before = self._row_keys.pop(row.id, None)
        if before:
            self.volume_rows.pop(before, None)
        if not gone:
            self._put(row)
        for key in {before, (row.host_id, row.pool, row.name)} - {None}:
            self._recompose(key)  # type: ignore[arg-type]  # None is removed

    def _put(self, row: VolumeRow) -> None:
        key = (row.host_id, row.pool, row.name)
        self.volume_rows[key] = row
        self._row_keys[row.id] = key

    def fold_pool(self, row: PoolRow, *, gone: bool) -> None:
        """Apply a changed row of `pools`, and with it the tier of its volumes."""
        key = (row.host_id, row.uuid)
        if gone:
            self.pool_rows.pop(key, None)
        else:
            self.pool_rows[key] = row
        if storage := self._hosts.get(row.host_id):
            tiers = self._tiers_of(row.host_id, storage)
            storage.pools = self._compose_pools(row.host_id, storage, tiers)
            for pool, name in [key for key in storage.volumes if key[0] == row.name]:
                self._recompose((row.host_id, pool, name))

    def operation_changed(self, target_ids: Sequence[str]) -> None:
        """The operation on these targets started, progressed or ended: compose the volumes among them again."""
        for key in [self._row_keys[target] for target in target_ids if target in self._row_keys]:
            self._recompose(key)

    def _recompose(self, key: tuple[str, str, str]) -> None:
        storage = self._hosts.get(key[0])
        if storage and key[1:] in storage.volume_facts and self._is_shown(key[0], key[1:]):
            volume = self._compose(key[0], storage, key[1:], self._tiers_of(key[0], storage))
            storage.volumes[key[1:]] = volume
            if volume.unmanaged:
                storage.unmanaged.setdefault(volume.id, key[1:])
        elif storage:
            storage.volumes.pop(key[1:], None)


def _with_creation_format(facts: VolumeFacts, row: VolumeRow | None) -> VolumeFacts:
    return with_creation_format(facts, row.format if row else None)
