"""Combines facts and rows into the API's volumes, pools and tiers. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from uuid import UUID, uuid5

import msgspec

from novacron_core.api.operations import Operation
from novacron_core.api.pools import Pool
from novacron_core.api.tiers import Tier
from novacron_core.api.volumes import Volume
from novacron_core.values.texts import without_paths
from novacron_core.values.tiers import FILE_POOLS
from novacron_server.hypervisor.facts import PoolFacts, VolumeFacts
from novacron_server.inventory.rows import VolumeRow


@dataclass(frozen=True, slots=True)
class VolumeUse:
    """The VM that uses a volume, and as what: `disk`, `kernel`, `initrd` or `backing file`. `target` is a disk's target."""

    vm_id: str
    role: str
    target: str = ""


@dataclass(frozen=True, slots=True)
class DiskRates:
    """The I/O rates of a tier's disks, and when they were measured."""

    read_bytes_s: float
    write_bytes_s: float
    reads_s: float
    writes_s: float
    at: datetime


RatesOf = Callable[[Sequence[tuple[str, str, str]]], DiskRates | None]
"""Returns the total rates of VM disks, each given as (host id, VM id, target); None if there are none yet."""


def compose_volume(
    host_id: str,
    facts: VolumeFacts,
    row: VolumeRow | None,
    use: VolumeUse | None,
    seen_at: datetime,
    *,
    tier: str | None = None,
    operation: Operation | None = None,
    simulated: bool = False,
) -> Volume:
    """The API value of a volume. `use` is the VM that currently uses it, `tier` that of its pool."""
    return Volume(
        id=row.id if row else unmanaged_volume_id(facts),
        name=facts.name,
        size_bytes=facts.size_bytes,
        allocated_bytes=facts.allocated_bytes,
        format=facts.format,
        pool=facts.pool,
        host=host_id,
        tier=tier,
        vm=use.vm_id if use else None,
        role=use.role if use else "",
        backing_file=facts.backing_file.rsplit("/", 1)[-1],
        note=facts.note,
        unmanaged=row is None,
        simulated=simulated,
        operation_id=operation.id if operation else None,
        tenant=row.tenant if row else None,
        owner=row.owner if row else None,
        created_at=row.created_at if row else None,
        seen_at=seen_at,
        pinned=row.pinned if row else False,
        together=row.together if row else False,
        dismissed_until=row.dismissed_until if row else None,
        dismissed_reason=row.dismissed_reason if row else "",
    )


def unmanaged_volume_id(facts: VolumeFacts) -> str:
    """A stable id for a volume without a row."""
    return _volume_id(facts.pool_uuid, facts.name)


@lru_cache(maxsize=1 << 16)  # made at every read of a pool, and the dearest part of composing thousands of volumes
def _volume_id(pool_uuid: str, name: str) -> str:
    return str(uuid5(UUID(pool_uuid), name))


def pool_id(host_id: str, uuid: str) -> str:
    """A pool's id, derived from host id and pool UUID, because pools on two hosts may have the same UUID."""
    return str(uuid5(UUID(host_id), uuid))


def compose_pool(
    host_id: str,
    facts: PoolFacts,
    neighbours: Iterable[PoolFacts],
    seen_at: datetime,
    *,
    tier: str | None,
    managed: bool,
    volumes: int,
    lost: str = "",
) -> Pool:
    """The API value of a pool. `neighbours` are all pools of its host; `lost` says that the host does not respond: then
    its sizes are unknown."""
    known = facts.active and not lost
    return Pool(
        id=pool_id(host_id, facts.uuid),
        name=facts.name,
        host=host_id,
        type=facts.type,
        path=facts.path,
        active=facts.active,
        tier=tier,
        managed=managed,
        capacity_bytes=facts.capacity_bytes if known else None,
        allocated_bytes=facts.allocated_bytes if known else None,
        available_bytes=facts.available_bytes if known else None,
        shares_disk_with=_sharing(facts, neighbours),
        volumes=volumes,
        problem=lost or facts.problem,
        seen_at=seen_at,
    )


def _sharing(facts: PoolFacts, neighbours: Iterable[PoolFacts]) -> list[str] | None:
    if facts.device is None:
        return None if facts.type in FILE_POOLS else []
    return [pool.name for pool in neighbours if pool.device == facts.device and pool.uuid != facts.uuid]


def compose_tier(
    name: str,
    pools: Sequence[tuple[Pool, int | None]],
    volumes: Sequence[Volume],
    devices: dict[str, set[int]],
    rates: DiskRates | None,
    notes: list[str],
) -> Tier:
    """The API value of a tier. `pools` are its pools with their disks (`st_dev`), `devices` the disks of every tier."""
    disks: dict[object, Pool] = {device or pool.id: pool for pool, device in pools if pool.active}
    own = devices.get(name, set())
    tier = Tier(
        name=name,
        pools=[pool.id for pool, _ in pools],
        capacity_bytes=_sum(pool.capacity_bytes for pool in disks.values()),
        used_bytes=_sum(pool.allocated_bytes for pool in disks.values()),
        free_bytes=_sum(pool.available_bytes for pool in disks.values()),
        shares_disk_with=[other for other, others in devices.items() if other != name and own & others],
        disks_known=all(pool.shares_disk_with is not None for pool, _ in pools),
        seen_at=min((pool.seen_at for pool, _ in pools if pool.seen_at), default=None),
        notes=[*notes, *(_note(pool) for pool, _ in pools if pool.problem or not pool.active)],
    )
    return with_volumes(tier, volumes, rates)


def with_volumes(tier: Tier, volumes: Sequence[Volume], rates: DiskRates | None) -> Tier:
    """The tier with the number, sizes and rates of these volumes."""
    return msgspec.structs.replace(
        tier,
        provisioned_bytes=sum(volume.size_bytes for volume in volumes),
        allocated_bytes=sum(volume.allocated_bytes for volume in volumes),
        volumes=len(volumes),
        read_bytes_s=rates.read_bytes_s if rates else None,
        write_bytes_s=rates.write_bytes_s if rates else None,
        reads_s=rates.reads_s if rates else None,
        writes_s=rates.writes_s if rates else None,
        rates_at=rates.at if rates else None,
    )


def _note(pool: Pool) -> str:
    if pool.active:
        return f"the pool {pool.name}: {pool.problem}"
    return f"the pool {pool.name} is inactive{f': {pool.problem}' if pool.problem else ''}"


def _sum(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def without_pool_path(sentence: str, path: str) -> str:
    """The sentence without where a pool is on its host."""
    if path:
        sentence = sentence.replace(f"its directory {path}", "its directory").replace(path, "its directory")
    return without_paths(sentence)
