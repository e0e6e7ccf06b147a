"""Which pool a volume goes to, and whether it fits there."""

from __future__ import annotations

from novacron_core import errors
from novacron_core.api.pools import Pool
from novacron_core.rules.visibility import Principal, may_see
from novacron_core.values.sizes import size_text
from novacron_core.values.tiers import FILE_POOLS
from novacron_server.inventory.inventory import Inventory
from novacron_server.inventory.rows import VolumeRow
from novacron_server.volumes.copy import check_free


def pool_for(inventory: Inventory, host_id: str, tier: str, *, but_not: str = "") -> Pool:
    """The pool of a tier on a host that has most room. Raises Conflict with the reason when there is none."""
    there = inventory.state.storage.pools_on(host_id).values()
    fit = [p for p in there if p.tier == tier and p.active and p.type in FILE_POOLS and p.name != but_not]
    if not fit:
        host = inventory.host(host_id).name
        of_another_kind = next((p for p in there if p.tier == tier and p.type not in FILE_POOLS), None)
        if of_another_kind:
            raise errors.Conflict(
                f"{tier} on {host} is a pool of type {of_another_kind.type}: volumes are put into directories only"
            )
        raise errors.Conflict(f"{tier} has no active pool on {host}")
    return max(fit, key=lambda pool: (pool.available_bytes or 0, pool.managed))


def choose_pool_for_vm(inventory: Inventory, host_id: str, tier: str, managed_pool: str) -> str:
    """The name of the pool for a new VM's disks: as `pool_for`, or the managed pool if the tier has no active pool; the
    managed one is created or started when it is needed."""
    try:
        return pool_for(inventory, host_id, tier).name
    except errors.Conflict:
        return managed_pool


def check_room(pool: Pool, needed_bytes: int, what: str) -> None:
    """Raises Conflict when the pool has not so much room now."""
    free = pool.available_bytes
    if free is not None and needed_bytes > free:
        tier = f"{pool.tier} ({pool.name})" if pool.tier else pool.name
        raise errors.Conflict(f"{what} needs {size_text(needed_bytes)}, but {tier} has {size_text(free)} free")


async def vacant(inventory: Inventory, principal: Principal, pool: Pool, name: str) -> VolumeRow | None:
    """Checks that the name is free in the pool; returns the row that goes when it is taken, that of a volume which
    somebody removed outside NovaCron. Raises Conflict."""
    check_name(inventory, principal, pool, name)
    row = inventory.state.storage.row_without_volume(pool.host, pool.name, name)
    if row is None:
        return None
    if not may_see(principal, row.tenant):
        raise errors.Conflict(f"the name {name} cannot be used in {pool.tier or pool.name}")
    await check_free(inventory.host(pool.host), pool.name, name)  # libvirt may have passed it over
    return row


def check_name(inventory: Inventory, principal: Principal, pool: Pool, name: str) -> None:
    """Raises Conflict when the pool has a volume of that name. One that the principal may not see is not told of."""
    taken = inventory.state.storage.volumes_on(pool.host).get((pool.name, name))
    if taken and may_see(principal, taken.tenant):
        raise errors.Conflict(f"{pool.tier or pool.name} already has a volume named {name}")
    if taken or inventory.state.storage.is_there(pool.host, pool.name, name):
        raise errors.Conflict(f"the name {name} cannot be used in {pool.tier or pool.name}")
