"""Delete a volume that no VM uses."""

from __future__ import annotations

from novacron_core import errors
from novacron_core.values.operation_kinds import OperationKind
from novacron_server.database.transactions import Database
from novacron_server.hypervisor.host import LibvirtHost
from novacron_server.inventory.inventory import Inventory
from novacron_server.inventory.rows import VolumeRow
from novacron_server.operations.context import CompletedAnyway, OperationContext
from novacron_server.operations.failpoints import failpoint
from novacron_server.operations.journal import Steps
from novacron_server.operations.procedures import Procedure
from novacron_server.outbox.group_commit import GroupCommit
from novacron_server.volumes import repository
from novacron_server.volumes.rows import remove_volume
from novacron_server.volumes.users import VolumeUsers


class DeleteVolumeSteps(Steps, frozen=True):
    """`path` is on the host."""

    path: str = ""


class DeleteVolume(Procedure[DeleteVolumeSteps]):
    kind = OperationKind.VOLUME_DELETE
    steps = DeleteVolumeSteps
    failpoints = ("volume.delete:began", "volume.delete:deleted")

    def __init__(self, database: Database, group_commit: GroupCommit, inventory: Inventory) -> None:
        self._database = database
        self._group_commit = group_commit
        self._inventory = inventory

    async def run(self, context: OperationContext[DeleteVolumeSteps]) -> None:
        """Raises NotFound, Conflict naming the VM that uses the volume, or the pool that is not defined."""
        row = await self._row(str(context.request["volume"]))
        if row is None:
            raise errors.NotFound("volume not found")
        host = self._inventory.host(row.host_id)
        await failpoint("volume.delete:began")
        users = VolumeUsers.for_operation(self._inventory, host, context.operation)
        await users.only(row.name, context.steps.path, None, fresh=True)
        await context.forbid_cancel()
        await self._delete(host, row)

    async def resume(self, context: OperationContext[DeleteVolumeSteps]) -> str:
        """Complete the deletion, unless a VM uses the volume by now."""
        row = await self._row(str(context.request.get("volume") or context.target_id))
        if row is None:
            return CompletedAnyway("the volume was deleted")
        host = self._inventory.host(row.host_id)
        facts = await host.storage.read_volume(row.pool, row.name)
        if facts is not None and await host.disks.users(facts.path, fresh=True):
            return "a VM uses the volume, so it was not deleted"
        if facts is None:
            try:
                await host.storage.require_pool(row.pool)
            except errors.Conflict as e:
                return f"it was not deleted: {e.detail}"
        await self._delete(host, row)
        return CompletedAnyway("the deletion was completed")

    async def _delete(self, host: LibvirtHost, row: VolumeRow) -> None:
        await host.storage.delete_volume(row.pool, row.name)
        await failpoint("volume.delete:deleted")
        await remove_volume(self._group_commit, row.id)
        await self._inventory.refresh_volumes(host.host_id)

    async def _row(self, volume_id: str) -> VolumeRow | None:
        return await self._database.run(lambda c: repository.get(c, volume_id), read_only=True)
