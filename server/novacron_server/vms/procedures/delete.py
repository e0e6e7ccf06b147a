"""Delete a stopped VM, with its disks if asked."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from novacron_core import errors
from novacron_core.api.vms import State
from novacron_core.values.operation_kinds import OperationKind
from novacron_server.database.transactions import Database
from novacron_server.inventory.inventory import Inventory
from novacron_server.inventory.rows import VolumeRow
from novacron_server.operations.context import CompletedAnyway, OperationContext
from novacron_server.operations.failpoints import failpoint
from novacron_server.operations.journal import Journal, Steps
from novacron_server.operations.procedures import Procedure
from novacron_server.operations.retries import retry_while_database_down
from novacron_server.outbox.group_commit import GroupCommit
from novacron_server.vms.rows import remove_vm
from novacron_server.volumes import repository as volumes
from novacron_server.volumes.users import in_use


class DeleteSteps(Steps, frozen=True):
    """`goes`: the ids of the volumes that are deleted with the VM, None while that is not decided."""

    goes: list[str] | None = None


class DeleteVM(Procedure[DeleteSteps]):
    """Each step can be repeated, so a crash in the middle is repaired by doing it again."""

    kind = OperationKind.VM_DELETE
    steps = DeleteSteps
    failpoints = ("vm.delete:began", "vm.delete:undefined", "vm.delete:deleted")

    def __init__(self, database: Database, group_commit: GroupCommit, inventory: Inventory) -> None:
        self._database = database
        self._group_commit = group_commit
        self._inventory = inventory

    async def run(self, context: OperationContext[DeleteSteps]) -> None:
        """Raises Conflict, before anything is done, naming another VM that uses one of the disks."""
        disks = bool(context.request.get("disks"))
        await context.report_step("removing the VM and its disks" if disks else "removing the VM")
        goes = await self._disks_of(context.host_id, context.target_id) if disks else []
        await context.write_ahead(goes=[volume.id for volume in goes])
        await failpoint("vm.delete:began")
        await self._delete(context.host_id, context.target_id, goes)

    async def undo(self, entry: Journal[DeleteSteps]) -> str:
        """After a failure: a VM that still exists stays; what belonged to one that is gone is deleted."""
        host = self._inventory.host(entry.host_id)
        if await host.read_domain(entry.operation.target.id) is not None:
            return "the VM was not changed"
        return await self.finish(entry)

    async def resume(self, context: OperationContext[DeleteSteps]) -> str:
        return await self.finish(context.entry)

    async def finish(self, entry: Journal[DeleteSteps]) -> str:
        """The operator wanted it deleted, so do that, unless it runs by now or another VM uses its disks."""
        host_id, vm_id = entry.host_id, entry.operation.target.id
        facts = await self._inventory.host(host_id).read_domain(vm_id)
        if facts is not None and facts.state is not State.STOPPED:
            return f"the VM is {facts.state}, so it was not deleted"
        try:
            goes = await self._disks_of(host_id, vm_id, entry.steps.goes) if entry.request.get("disks") else []
            await self._delete(host_id, vm_id, goes)
        except errors.Conflict as e:
            return f"it was not deleted: {e.detail}"
        return CompletedAnyway("the deletion was completed")

    async def _disks_of(self, host_id: str, vm_id: str, decided: Collection[str] | None = None) -> list[VolumeRow]:
        """The volumes that are deleted with a VM: not those that were detached from it outside NovaCron.

        `decided` are the ids that its journal names: the VM, whose definition names them too, may be gone by now.
        Raises Conflict naming another VM that uses one of these.
        """
        host, found = self._inventory.host(host_id), []
        read = lambda: self._database.run(lambda c: volumes.of_vm(c, host_id, vm_id), read_only=True)  # noqa: E731
        exists = await host.read_domain(vm_id) is not None
        made = await retry_while_database_down("reading a VM's volumes", read)
        for volume in made if decided is None else [volume for volume in made if volume.id in decided]:
            facts = await host.storage.read_volume(volume.pool, volume.name)
            users = await host.disks.users(facts.path) if facts else []
            if facts and exists and all(user.uuid != vm_id for user in users):
                continue
            for user in users:
                if user.uuid != vm_id:
                    raise errors.Conflict(in_use(volume.name, user))
            found.append(volume)
        return found

    async def _delete(self, host_id: str, vm_id: str, goes: Sequence[VolumeRow]) -> None:
        host = self._inventory.host(host_id)
        await host.undefine(vm_id)
        await failpoint("vm.delete:undefined")
        for volume in goes:
            await host.storage.delete_volume(volume.pool, volume.name)
        await remove_vm(self._group_commit, host_id, vm_id, goes)
        await failpoint("vm.delete:deleted")
        await self._inventory.refresh_vm(host_id, vm_id)
        await self._inventory.refresh_volumes(host_id)
