"""How full the tiers of a host are: the disks of its active file pools, each counted once."""

from __future__ import annotations

from dataclasses import dataclass

from novacron_core.api.pools import Pool
from novacron_core.values.tiers import FILE_POOLS, TIERS, TierName
from novacron_server.inventory.storage_state import StorageState


@dataclass(frozen=True, slots=True)
class TierDisks:
    """The space of a tier of a host. `shares_with` is a faster tier that is on one of the same disks."""

    tier: TierName
    capacity_bytes: int
    used_bytes: int
    shares_with: TierName | None = None


def tiers_of(storage: StorageState, host_id: str) -> list[TierDisks]:
    """The tiers of a host that have a disk of known size, fastest first, and those that share one."""
    found: list[TierDisks] = []
    disks: dict[object, TierName] = {}
    for tier in TIERS:
        own = _disks_of(storage, host_id, tier)
        capacity = sum(pool.capacity_bytes or 0 for pool in own.values())
        used = sum(pool.allocated_bytes or 0 for pool in own.values())
        if shared := [disks[device] for device in own if device in disks]:
            found.append(TierDisks(tier, capacity, used, shared[-1]))
        elif capacity:
            disks |= dict.fromkeys(own, tier)
            found.append(TierDisks(tier, capacity, used))
    return found


def _disks_of(storage: StorageState, host_id: str, tier: TierName) -> dict[object, Pool]:
    """The disks (`st_dev`) of a tier of a host, each with one of the pools on it that volumes are put into."""
    found = dict[object, Pool]()
    for pool in storage.pools_on(host_id).values():
        facts = storage.pool_facts(host_id, pool.name)
        if pool.tier == tier and pool.active and pool.type in FILE_POOLS and facts is not None:
            found.setdefault(pool.id if facts.device is None else facts.device, pool)
    return found
