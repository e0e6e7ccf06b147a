"""What readers are told after a look at a host's storage: what differs from what they were told before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    """What is new or changed, what is gone, and the VMs whose disks are shown otherwise now.

    `first`: the host's storage had not been read before, so nothing of this is news about its VMs.
    """

    volumes: list[Volume]
    gone_volumes: list[Volume]
    pools: list[Pool]
    gone_pools: list[Pool]
    tiers: list[Tier]
    vms: list[str] = []
    first: bool = False


class PublishedStorage:
    """What readers were told last, by host and id."""

    def __init__(self) -> None:
        self._volumes: dict[str, dict[str, Volume]] = {}
        self._pools: dict[str, dict[str, Pool]] = {}
        self._tiers: dict[str, Tier] = {}

    def compare(
        self, host_id: str, volumes: Iterable[Volume], pools: Iterable[Pool], tiers: Iterable[Tier]
    ) -> StorageChanges:
        """What is to be told of these; it counts as told from now on."""
        told_volumes = self._volumes.setdefault(host_id, {})
        told_pools = self._pools.setdefault(host_id, {})
        now_volumes, now_pools = {volume.id: volume for volume in volumes}, {pool.id: pool for pool in pools}
        changed_tiers = [tier for tier in tiers if _tier_differs(self._tiers.get(tier.name), tier)]
        changes = StorageChanges(
            volumes=[v for v in now_volumes.values() if _differs(told_volumes.get(v.id), v)],
            gone_volumes=[v for v in told_volumes.values() if v.id not in now_volumes],
            pools=[p for p in now_pools.values() if _pool_differs(told_pools.get(p.id), p)],
            gone_pools=[p for p in told_pools.values() if p.id not in now_pools],
            tiers=changed_tiers,
        )
        _update(told_volumes, changes.volumes, changes.gone_volumes)
        _update(told_pools, changes.pools, changes.gone_pools)
        self._tiers |= {tier.name: tier for tier in changed_tiers}
        return changes


def _update(told: dict[str, T], changed: list[T], gone: list[T]) -> None:
    told.update({thing.id: thing for thing in changed})
    for thing in gone:
        del told[thing.id]


def _differs(before: Volume | None, now: Volume) -> bool:
    """Whether readers should be told: not for every few blocks that a running guest allocates."""
    if before is None:
        return True
    grown = abs(before.allocated_bytes - now.allocated_bytes)
    same = _same(before, now, ("allocated_bytes", "seen_at", "operation"))
    return not same or grown > max(1 << 20, before.allocated_bytes // 100)


_POOL_READINGS = ("allocated_bytes", "available_bytes", "seen_at")
_TIER_READINGS = (
    "used_bytes", "free_bytes", "allocated_bytes", "read_bytes_s", "write_bytes_s", "reads_s", "writes_s", "rates_at",
    "seen_at",
)  # fmt: skip
"""What is never the same twice, and no news by itself."""


def _pool_differs(before: Pool | None, now: Pool) -> bool:
    return before is None or not _same(before, now, _POOL_READINGS) or _fuller(before, now, "allocated_bytes")


def _tier_differs(before: Tier | None, now: Tier) -> bool:
    return (
        before is None
        or not _same(before, now, _TIER_READINGS)
        or _fuller(before, now, "used_bytes", "allocated_bytes")
    )


def _same(before: S, now: S, but: Iterable[str]) -> bool:
    return msgspec.structs.replace(now, **{name: getattr(before, name) for name in but}) == before


def _fuller(before: Pool | Tier, now: Pool | Tier, *names: str) -> bool:
    return any(_moved(getattr(before, name), getattr(now, name), now.capacity_bytes) for name in names)


def _moved(before: int | None, now: int | None, of: int | None) -> bool:
    """Whether a disk's use changed by more than anybody else's log files: 16 MiB, and a thousandth of the disk."""
    if before is None or now is None:
        return before is not now
    return abs(before - now) > max(16 << 20, (of or 0) // 1000)


def vms_with_changed_disks(before: Mapping[VolumeKey, Volume], now: Mapping[VolumeKey, Volume]) -> list[str]:
    """The VMs whose disks are shown with another size, tier or id now."""
    changed = (
        volume
        for key, volume in now.items()
        if (old := before.get(key)) is None
        or (old.id, old.size_bytes, old.tier) != (volume.id, volume.size_bytes, volume.tier)
    )
    return list({volume.vm: None for volume in changed if volume.vm})
