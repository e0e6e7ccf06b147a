"""Who uses a volume's file, asked of libvirt itself: the picture may not have seen it yet, and may not tell."""

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
    """How the VM `vm_id` has the file as a disk, None when no VM uses it. `fresh` as in `HostDisks.users`.

    Raises Conflict naming any other VM that uses it, as whatever.
    """
    found = None
    for user in await host.disks.users(path, fresh=fresh):
        if user.uuid != vm_id or user.otherwise:
            raise errors.Conflict(in_use(name, user))
        found = user
    return found


def overlays(inventory: Inventory, principal: Principal, volume: Volume) -> list[str]:
    """The overlays of a volume, by name where the principal may see them."""
    found = inventory.state.storage.overlays(volume)
    return [v.name if may_see(principal, v.tenant) else "another user's volume" for v in found]


def in_use(name: str, user: DiskUser) -> str:
    """The sentence that names who uses a volume."""
    if user.otherwise:
        return f"{name} is in use by {user.name}: it is {user.otherwise}"
    return f"{name} is a disk of {user.name}: detach it there first"
