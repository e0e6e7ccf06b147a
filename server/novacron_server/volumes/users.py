"""Finds the VMs that use a volume. Asks libvirt itself, because the inventory may be older than the use."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec

from novacron_core import errors
from novacron_core.api.operations import Operation
from novacron_core.api.vms import VM
from novacron_core.api.volumes import Volume
from novacron_core.rules.visibility import Principal, may_see, may_see_vm
from novacron_server.hypervisor.host import LibvirtHost
from novacron_server.hypervisor.vms.disks import DiskUser
from novacron_server.inventory.inventory import Inventory
from novacron_server.inventory.subjects import sees


@dataclass(frozen=True, slots=True)
class VolumeUsers:
    """The VMs that use the files of one host. `sees` tells whether everyone who reads the refusals may know that a VM
    exists, None for one that is not known; without that, a refusal does not name the VM."""

    inventory: Inventory
    host: LibvirtHost
    sees: Callable[[VM | None], bool]

    @classmethod
    def for_principal(cls, inventory: Inventory, host: LibvirtHost, principal: Principal) -> VolumeUsers:
        """For refusals that only the caller reads."""
        return cls(inventory, host, lambda vm: _names(principal, vm))

    @classmethod
    def for_operation(cls, inventory: Inventory, host: LibvirtHost, operation: Operation) -> VolumeUsers:
        """For refusals that end an operation: everyone in its tenant reads them."""
        return cls(inventory, host, lambda vm: _all_see(operation, vm))

    async def only(self, name: str, path: str, vm_id: str | None, *, fresh: bool = False) -> DiskUser | None:
        """How the VM `vm_id` uses the file as a disk; None if no VM uses it. `fresh` as in `HostDisks.users`.

        Raises Conflict naming any other VM that uses the file, in whatever role.
        """
        found = None
        for user in await self.host.disks.users(path, fresh=fresh):
            if user.uuid != vm_id or user.other_use:
                raise errors.Conflict(self._in_use(name, user))
            found = msgspec.structs.replace(user, name=self.named(user))
        return found

    def require_no_other(self, name: str, users: Iterable[DiskUser], vm_id: str) -> None:
        """Raises Conflict naming any VM but this one among the users of a file."""
        for user in users:
            if user.uuid != vm_id:
                raise errors.Conflict(self._in_use(name, user))

    def named(self, user: DiskUser) -> str:
        """The name of a VM that uses a file, for those who see it."""
        vm = self.inventory.state.composed((self.host.host_id, user.uuid))
        return user.name if self.sees(vm) else "another user's VM"

    def _in_use(self, name: str, user: DiskUser) -> str:
        """Who uses a volume, as a sentence."""
        used_by = self.named(user)
        if user.other_use:
            return f"{name} is in use by {used_by}: it is {user.other_use}"
        return f"{name} is a disk of {used_by}: detach it there first"


def overlays(inventory: Inventory, principal: Principal, volume: Volume) -> list[str]:
    """The names of a volume's overlays; those that the principal may not see are described without a name."""
    found = inventory.state.storage.overlays(volume)
    state = inventory.state
    return [v.name if sees(principal, state, "volume", v.tenant, v) else "another user's volume" for v in found]


def _names(principal: Principal, vm: VM | None) -> bool:
    return may_see_vm(principal, vm) if vm else may_see(principal, None) and not principal.vm_filter


def _all_see(operation: Operation, vm: VM | None) -> bool:
    """Nobody knows here what an API token sees that is limited to some VMs: it is told no other name."""
    return operation.tenant in (None, vm.tenant if vm else None) and not operation.api_token
