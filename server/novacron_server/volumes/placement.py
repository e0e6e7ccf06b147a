"""Chooses a pool for a volume, and checks that the volume fits there."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from novacron_core import errors
from novacron_core.api.pools import Pool
from novacron_core.rules.visibility import Principal, may_see
from novacron_core.values.roles import Permission
from novacron_core.values.sizes import size_text
from novacron_core.values.texts import without_paths
from novacron_core.values.tiers import FILE_POOLS, LOGICAL
from novacron_server.http.asked import asker_may
from novacron_server.inventory.inventory import Inventory
from novacron_server.inventory.rows import VolumeRow
from novacron_server.inventory.subjects import host_word, sees
from novacron_server.volumes.copy import check_file_name_free


def choose_pool(inventory: Inventory, host_id: str, tier: str, *, exclude: str = "", block: bool = False) -> Pool:
    """The tier's pool with the most free space on a host, except the pool named `exclude`. `block`: the volume may be a
    block device where the tier has no pool of files. Raises Conflict."""
    pools = [pool for pool in inventory.state.storage.pools_on(host_id).values() if pool.tier == tier]
    usable = [pool for pool in pools if pool.active and pool.name != exclude and _responds(inventory, pool)]
    candidates = [pool for pool in usable if pool.type in FILE_POOLS]
    if not candidates and block:
        candidates = [pool for pool in usable if pool.type == LOGICAL]
    if not candidates:
        raise errors.Conflict(_why_no_pool(host_word(inventory.host(host_id).name), tier, pools))
    return max(candidates, key=lambda pool: (pool.available_bytes or 0, pool.managed))


def _responds(inventory: Inventory, pool: Pool) -> bool:
    facts = inventory.state.storage.pool_facts(pool.host, pool.name)
    return facts is None or facts.responds


def _why_no_pool(host: str, tier: str, pools: Sequence[Pool]) -> str:
    """Why none of a tier's pools on a host can take a volume, as a sentence."""
    if not asker_may(Permission.VOLUME_READ):
        return f"{tier} has no active pool for volumes on {host}"
    if unsupported := next((pool for pool in pools if pool.type not in FILE_POOLS), None):
        return f"{tier} on {host} is a pool of type {unsupported.type}: only a new raw volume can be put there"
    problems = [f"{pool.name}: {without_paths(pool.problem)}" for pool in pools if pool.problem]
    reason = f" ({'; '.join(problems)})" if problems else ""
    return f"{tier} has no active pool on {host}{reason}"


def check_block_volume(pool: Pool, name: str, image: str) -> None:
    """Raises Conflict when a volume of this name and format cannot be made in the pool because that is of type logical."""
    if pool.type == LOGICAL and image != "raw":
        raise errors.Conflict(f"{pool.tier or pool.name} is a pool of type logical: its volumes are raw, not {image}")
    if pool.type == LOGICAL and "~" in name:
        raise errors.Conflict(
            f"{name} cannot be in a pool of type logical: LVM has no names with ~, the mark of a tenant"
        )


def choose_pool_for_vm(inventory: Inventory, host_id: str, tier: str, managed_pool: str) -> str:
    """The name of the pool for a new VM's disks: as `choose_pool`, or the managed pool if the tier has no active pool,
    because the creation creates or starts that one."""
    try:
        return choose_pool(inventory, host_id, tier).name
    except errors.Conflict:
        return managed_pool


async def check_room(inventory: Inventory, pool: Pool, needed_bytes: int, what: str) -> None:
    """Raises Conflict when the pool has less than `needed_bytes` free. `what` is what needs them.

    What is known may be half a minute old, and libvirt's own number minutes: it looks at a disk only when it refreshes
    the pool. So the pool is refreshed and read again before anything is refused.
    """
    free = pool.available_bytes
    if free is not None and needed_bytes > free:
        with suppress(errors.NovaCronError):  # refused while something is copied into the pool
            await inventory.host(pool.host).storage.refresh_pool(pool.name)
        with suppress(errors.NovaCronError):
            await inventory.refresh_volumes(pool.host)
        pool = inventory.state.storage.pools_on(pool.host).get(pool.name, pool)
        free = pool.available_bytes
    if free is not None and needed_bytes > free:
        if not asker_may(Permission.VOLUME_READ):
            raise errors.Conflict(f"{what} needs {size_text(needed_bytes)}, and there is less free")
        tier = f"{pool.tier} ({pool.name})" if pool.tier else pool.name
        raise errors.Conflict(f"{what} needs {size_text(needed_bytes)}, but {tier} has {size_text(free)} free")


async def find_stale_row(inventory: Inventory, principal: Principal, pool: Pool, name: str) -> VolumeRow | None:
    """Check that the name is free in the pool. Returns the stale row that a new volume of that name replaces: that of a
    volume which was removed outside NovaCron. Raises Conflict when the name is taken."""
    check_name(inventory, principal, pool, name)
    row = inventory.state.storage.row_without_volume(pool.host, pool.name, name)
    if row is None:
        return None
    if not may_see(principal, row.tenant):
        raise errors.Conflict(f"the name {name} cannot be used in {pool.tier or pool.name}")
    await check_file_name_free(inventory.host(pool.host), pool.name, name)  # libvirt may have skipped the file
    return row


def check_name(inventory: Inventory, principal: Principal, pool: Pool, name: str) -> None:
    """Raises Conflict when the pool has a volume of that name, without revealing one that the principal may not see."""
    taken = inventory.state.storage.volumes_on(pool.host).get((pool.name, name))
    if taken and sees(principal, inventory.state, "volume", taken.tenant, taken):
        raise errors.Conflict(f"{pool.tier or pool.name} already has a volume named {name}")
    if taken or inventory.state.storage.has_file(pool.host, pool.name, name):
        raise errors.Conflict(f"the name {name} cannot be used in {pool.tier or pool.name}")
