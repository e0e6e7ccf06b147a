"""Finds the VMs that use a volume. Asks libvirt itself, because the inventory may be older than the use."""

from __future__ import annotations

from novacron_core import errors
from novacron_core.api.volumes import Volume
from novacron_core.rules.visibility import Principal, may_see
from novacron_server.hypervisor.host import LibvirtHost
from novacron_server.hypervisor.vms.disks import DiskUser
from novacron_server.inventory.inventory import Inventory


async def only_user(
    host: LibvirtHost, name: str, path: str, vm_id: str | None, *, fresh: bool = False
) -> DiskUser | None:
    """How the VM `vm_id` uses the file as a disk; None if no VM uses it. `fresh` as in `HostDisks.users`.

    Raises Conflict naming any other VM that uses the file, in whatever role.
    """
    found = None
    for user in await host.disks.users(path, fresh=fresh):
        if user.uuid != vm_id or user.other_use:
            raise errors.Conflict(in_use(name, user))
        found = user
    return found


def overlays(inventory: Inventory, principal: Principal, volume: Volume) -> list[str]:
    """The names of a volume's overlays; those that the principal may not see are described without a name."""
    found = inventory.state.storage.overlays(volume)
    return [v.name if may_see(principal, v.tenant) else "another user's volume" for v in found]


def in_use(name: str, user: DiskUser) -> str:
    """Who uses a volume, as a sentence."""
    if user.other_use:
        return f"{name} is in use by {user.name}: it is {user.other_use}"
    return f"{name} is a disk of {user.name}: detach it there first"
