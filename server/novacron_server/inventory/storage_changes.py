"""Finds the storage changes to publish: the differences between a read and the last published values."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import TypeVar

import msgspec

from novacron_core.api.pools import Pool
from novacron_core.api.tiers import Tier
from novacron_core.api.volumes import Volume

VolumeKey = tuple[str, str]
"""(pool, name), within a host."""
T = TypeVar("T", Volume, Pool)
S = TypeVar("S", bound=msgspec.Struct)


class StorageChanges(msgspec.Struct, frozen=True, kw_only=True):
    """New and changed objects, removed objects, and the VMs whose disks are shown differently now.

    `first`: the first read of the host's storage, so the VMs themselves have not changed. `earlier_pools`: the changed
    pools as they were published before, by id.
    """

    volumes: list[Volume]
    gone_volumes: list[Volume]
    pools: list[Pool]
    gone_pools: list[Pool]
    tiers: list[Tier]
    vms: list[str] = []
    first: bool = False
    earlier_pools: dict[str, Pool] = {}


class PublishedStorage:
    """The last published values, by host and id."""

    def __init__(self) -> None:
        self._volumes: dict[str, dict[str, Volume]] = {}
        self._pools: dict[str, dict[str, Pool]] = {}
        self._tiers: dict[str, Tier] = {}

    def compare(
        self,
        host_id: str,
        volumes: Iterable[Volume],
        pools: Iterable[Pool],
        tiers: Iterable[Tier],
        unchanged: Container[str] = frozenset(),
    ) -> StorageChanges:
        """The changes to publish; from now on they count as published. `unchanged` are the ids of volumes that are as
        they were at the last comparison: of many thousands, nearly all."""
        published_volumes = self._volumes.setdefault(host_id, {})
        published_pools = self._pools.setdefault(host_id, {})
        now_volumes, now_pools = {volume.id: volume for volume in volumes}, {pool.id: pool for pool in pools}
        changed_tiers = [tier for tier in tiers if tier_differs(self._tiers.get(tier.name), tier)]
        changed_pools = [p for p in now_pools.values() if pool_differs(published_pools.get(p.id), p)]
        changes = StorageChanges(
            volumes=[
                volume
                for volume_id, volume in now_volumes.items()
                if not (volume_id in unchanged and volume_id in published_volumes)
                and _volume_differs(published_volumes.get(volume_id), volume)
            ],
            gone_volumes=[v for v in published_volumes.values() if v.id not in now_volumes],
            pools=changed_pools,
            gone_pools=[p for p in published_pools.values() if p.id not in now_pools],
            tiers=changed_tiers,
            earlier_pools={p.id: published_pools[p.id] for p in changed_pools if p.id in published_pools},
        )
        _update(published_volumes, changes.volumes, changes.gone_volumes)
        _update(published_pools, changes.pools, changes.gone_pools)
        self._tiers |= {tier.name: tier for tier in changed_tiers}
        return changes


def _update(published: dict[str, T], changed: list[T], gone: list[T]) -> None:
    published.update({item.id: item for item in changed})
    for item in gone:
        del published[item.id]


def _volume_differs(before: Volume | None, now: Volume) -> bool:
    """Whether to publish the volume: not for small allocations by a running guest."""
    if before is None:
        return True
    if msgspec.structs.replace(before, seen_at=now.seen_at) == now:
        return False  # nearly all of a host's volumes, which may be many thousands
    grown = abs(before.allocated_bytes - now.allocated_bytes)
    same = _same(before, now, ("allocated_bytes", "seen_at", "operation_id"))
    return not same or grown > max(1 << 20, before.allocated_bytes // 100)


_POOL_READINGS = ("allocated_bytes", "available_bytes", "seen_at")
_TIER_READINGS = (
    "used_bytes", "free_bytes", "allocated_bytes", "read_bytes_s", "write_bytes_s", "reads_s", "writes_s", "rates_at",
    "seen_at",
)  # fmt: skip
"""Fields that change constantly and are not published on their own."""


def pool_differs(before: Pool | None, now: Pool) -> bool:
    """Whether to publish the pool."""
    return before is None or not _same(before, now, _POOL_READINGS) or _usage_changed(before, now, "allocated_bytes")


def tier_differs(before: Tier | None, now: Tier) -> bool:
    """Whether to publish the tier."""
    return (
        before is None
        or not _same(before, now, _TIER_READINGS)
        or _usage_changed(before, now, "used_bytes", "allocated_bytes")
    )


def _same(before: S, now: S, ignored: Iterable[str]) -> bool:
    return msgspec.structs.replace(now, **{name: getattr(before, name) for name in ignored}) == before


def _usage_changed(before: Pool | Tier, now: Pool | Tier, *names: str) -> bool:
    return any(_changed_enough(getattr(before, name), getattr(now, name), now.capacity_bytes) for name in names)


def _changed_enough(before: int | None, now: int | None, capacity: int | None) -> bool:
    """Whether a disk's usage changed by more than background noise: 16 MiB and a thousandth of the capacity."""
    if before is None or now is None:
        return before is not now
    return abs(before - now) > max(16 << 20, (capacity or 0) // 1000)


def vms_with_changed_disks(before: Mapping[VolumeKey, Volume], now: Mapping[VolumeKey, Volume]) -> list[str]:
    """The VMs whose disks have another size, tier or id now."""
    changed = (
        volume
        for key, volume in now.items()
        if volume.vm  # of many thousands few
        and (
            (old := before.get(key)) is None
            or (old.id, old.size_bytes, old.tier) != (volume.id, volume.size_bytes, volume.tier)
        )
    )
    return list({volume.vm: None for volume in changed if volume.vm})
