"""The common part of attaching, detaching and growing: each is one libvirt change, which happened or did not."""

from __future__ import annotations

from novacron_core import errors
from novacron_server.database.transactions import Database
from novacron_server.hypervisor.facts import VolumeFacts
from novacron_server.hypervisor.host import LibvirtHost
from novacron_server.hypervisor.specs import with_creation_format
from novacron_server.inventory.inventory import Inventory
from novacron_server.operations.journal import Journal, Steps
from novacron_server.operations.procedures import Procedure
from novacron_server.outbox.group_commit import GroupCommit
from novacron_server.volumes import repository
from novacron_server.volumes.rows import change_volume
from novacron_server.volumes.users import VolumeUsers


class DiskSteps(Steps, frozen=True):
    """The volume's pool and name, the format that it was created with, and the VM that has it or will get it."""

    pool: str = ""
    name: str = ""
    format: str = ""
    vm: str | None = None


class DiskChange(Procedure[DiskSteps]):
    steps = DiskSteps

    def __init__(self, database: Database, group_commit: GroupCommit, inventory: Inventory) -> None:
        self._database = database
        self._group_commit = group_commit
        self._inventory = inventory

    async def undo(self, entry: Journal[DiskSteps]) -> str:
        """After a failure or a crash, set the row's VM to the one that libvirt shows."""
        host = self._inventory.host(entry.host_id)
        volume_id = str(entry.request.get("volume", ""))
        row = await self._database.run(lambda c: repository.get(c, volume_id), read_only=True)
        facts = await host.storage.read_volume(row.pool, row.name) if row else None
        if facts is None:
            return "the volume does not exist"
        users = [user for user in await host.disks.users(facts.path) if not user.other_use]
        vm_id = users[0].uuid if users else None
        await self._set_vm(volume_id, vm_id)
        await self._refresh(host, vm_id)
        if not users:
            return "the volume is not attached"
        named = VolumeUsers.for_operation(self._inventory, host, entry.operation).named(users[0])
        return f"the volume is a disk of {named}"

    @staticmethod
    async def _facts(host: LibvirtHost, steps: DiskSteps) -> VolumeFacts:
        """Read the volume's facts. Raises NotFound."""
        facts = await host.storage.read_volume(steps.pool, steps.name)
        if facts is None:
            raise errors.NotFound(f"the volume {steps.name} no longer exists")
        return with_creation_format(facts, steps.format or None)

    async def _set_vm(self, volume_id: str, vm_id: str | None) -> None:
        await change_volume(self._group_commit, volume_id, "volume.updated", vm_id=vm_id)

    async def _refresh(self, host: LibvirtHost, vm_id: str | None) -> None:
        if vm_id:
            await self._inventory.refresh_vm(host.host_id, vm_id)
        await self._inventory.refresh_volumes(host.host_id)
