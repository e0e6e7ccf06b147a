"""Delete a stopped VM, with its disks if asked."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from novacron_core import errors
from novacron_core.api.operations import Operation
from novacron_core.values.operation_kinds import OperationKind
from novacron_server.database.transactions import Database
from novacron_server.hypervisor.host import LibvirtHost
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
from novacron_server.volumes.users import VolumeUsers


class DeleteSteps(Steps, frozen=True):
    """`goes` are the ids of the volumes to delete with the VM; None: not decided yet. `overlays` are the (pool, name)
    pairs of its disks that others have made of these volumes, by snapshots."""

    goes: list[str] | None = None
    overlays: list[tuple[str, str]] = []


class DeleteVM(Procedure[DeleteSteps]):
    """Deletes a VM. Every step can be repeated, so recovery repeats the whole deletion."""

    kind = OperationKind.VM_DELETE
    steps = DeleteSteps
    failpoints = (
        "vm.delete:began",
        "vm.delete:emptied",
        "vm.delete:undefined",
        "vm.delete:unlogged",
        "vm.delete:deleted",
    )

    def __init__(self, database: Database, group_commit: GroupCommit, inventory: Inventory) -> None:
        self._database = database
        self._group_commit = group_commit
        self._inventory = inventory

    async def run(self, context: OperationContext[DeleteSteps]) -> None:
        """Raises Conflict, before anything is changed, naming another VM that uses one of the disks."""
        with_disks = bool(context.request.get("disks"))
        await context.report_step("removing the VM and its disks" if with_disks else "removing the VM")
        volumes_to_delete = await self._find_volumes_to_delete(context.operation, context.host_id) if with_disks else []
        overlays = await self._find_overlays(context.operation, context.host_id, volumes_to_delete)
        await context.write_ahead(goes=[volume.id for volume in volumes_to_delete], overlays=overlays)
        await failpoint("vm.delete:began")
        await self._delete(context.host_id, context.target_id, volumes_to_delete, overlays)

    async def undo(self, entry: Journal[DeleteSteps]) -> str:
        """Keep a VM that still exists, so that its deletion can be repeated; finish the deletion of one that is gone."""
        host = self._inventory.host(entry.host_id)
        if await host.read_domain(entry.operation.target.id) is not None:
            await self._inventory.refresh_volumes(entry.host_id)
            return ""
        return await self.finish(entry)

    async def resume(self, context: OperationContext[DeleteSteps]) -> str:
        return await self.finish(context.entry)

    async def finish(self, entry: Journal[DeleteSteps]) -> str:
        """Complete the deletion, unless the VM runs by now or another VM uses its disks."""
        host_id, vm_id = entry.host_id, entry.operation.target.id
        facts = await self._inventory.host(host_id).read_domain(vm_id)
        if facts is not None and not facts.is_off:
            return f"the VM is {facts.state}, so it was not deleted"
        try:
            volumes_to_delete = (
                await self._find_volumes_to_delete(entry.operation, host_id, entry.steps.goes)
                if entry.request.get("disks")
                else []
            )
            await self._delete(host_id, vm_id, volumes_to_delete, entry.steps.overlays)
        except errors.Conflict as e:
            return f"it was not deleted: {e.detail}"
        return CompletedAnyway("the deletion was completed")

    async def _find_volumes_to_delete(
        self, operation: Operation, host_id: str, decided: Collection[str] | None = None
    ) -> list[VolumeRow]:
        """The volumes of its tenant to delete with a VM, without those that were detached from it outside NovaCron.

        `decided` are the ids in the journal; they are needed because the VM and its definition may be gone by now.
        Raises Conflict naming another VM that uses one of the volumes, or a pool that is not defined: its files would
        stay, and belong to nobody.
        """
        vm_id, host, found = operation.target.id, self._inventory.host(host_id), []
        volume_users = VolumeUsers.for_operation(self._inventory, host, operation)
        read = lambda: self._database.run(lambda c: volumes.of_vm(c, host_id, vm_id), read_only=True)  # noqa: E731
        exists = await host.read_domain(vm_id) is not None
        rows = await retry_while_database_down("reading a VM's volumes", read)
        own = [volume for volume in rows if volume.tenant == operation.tenant]
        for volume in own if decided is None else [volume for volume in own if volume.id in decided]:
            facts = await host.storage.read_volume(volume.pool, volume.name)
            if facts is None:
                await _require_pool(host, volume)
            users = await host.disks.users(facts.path) if facts else []
            if facts and exists and all(user.uuid != vm_id for user in users):
                continue
            volume_users.require_no_other(volume.name, users, vm_id)
            found.append(volume)
        return found

    async def _find_overlays(
        self, operation: Operation, host_id: str, volumes_to_delete: Sequence[VolumeRow]
    ) -> list[tuple[str, str]]:
        """The VM's disks that are overlays of these volumes, and the overlays between. Raises Conflict naming another
        VM that uses one."""
        vm_id, host, storage = operation.target.id, self._inventory.host(host_id), self._inventory.state.storage
        volume_users = VolumeUsers.for_operation(self._inventory, host, operation)
        volumes_on = storage.volumes_on(host_id)
        known = {(volume.pool, volume.name) for volume in volumes_to_delete}
        level = [volume for key in known if (volume := volumes_on.get(key))]
        found: list[tuple[str, str]] = []  # the overlays of overlays first
        while level:
            own = (v for base in level for v in storage.overlays(base) if v.unmanaged and v.vm == vm_id)
            new = {key: overlay for overlay in own if (key := (overlay.pool, overlay.name)) not in known}
            for overlay in new.values():
                facts = storage.facts(overlay)
                users = await host.disks.users(facts.path) if facts else []
                volume_users.require_no_other(overlay.name, users, vm_id)
            known |= new.keys()
            found = [*new, *found]
            level = list(new.values())
        return found

    async def _delete(
        self,
        host_id: str,
        vm_id: str,
        volumes_to_delete: Sequence[VolumeRow],
        overlays: Sequence[tuple[str, str]],
    ) -> None:
        """Delete the disks before the definition: while a disk cannot be deleted, the VM stays, and can be deleted again.

        Raises Conflict naming the disk that cannot be deleted, and what was deleted.
        """
        host = self._inventory.host(host_id)
        deleted: list[str] = []
        for pool, name in [*overlays, *((volume.pool, volume.name) for volume in volumes_to_delete)]:
            try:
                await host.storage.delete_volume(pool, name)
            except errors.HostUnavailable:
                raise
            except errors.NovaCronError as e:
                raise errors.Conflict(_kept(name, e.detail, deleted)) from e
            deleted.append(name)
        await failpoint("vm.delete:emptied")
        await host.undefine(vm_id)
        await failpoint("vm.delete:undefined")
        left = await host.console_logs.remove(vm_id)  # what it said is nobody's any more; that it stays fails nothing
        note = f"the log of its serial console could not be deleted: {left}" if left else ""
        await failpoint("vm.delete:unlogged")
        await remove_vm(self._group_commit, host_id, vm_id, volumes_to_delete, note)
        await failpoint("vm.delete:deleted")
        await self._inventory.refresh_vm(host_id, vm_id)
        await self._inventory.refresh_volumes(host_id)


async def _require_pool(host: LibvirtHost, volume: VolumeRow) -> None:
    try:
        await host.storage.require_pool(volume.pool)
    except errors.Conflict as e:
        raise errors.Conflict(_kept(volume.name, e.detail, [])) from e


def _kept(name: str, why: str, deleted: Sequence[str]) -> str:
    """Why a VM was kept whose disk cannot be deleted."""
    gone = f", and {', '.join(deleted)} {'was' if len(deleted) == 1 else 'were'} deleted" if deleted else ""
    return f"{name}: {why}. The VM is kept{gone}: delete it again, or without its disks"
