"""Taking things away: a VM that is to be deleted, and what an unfinished creation left behind."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from novacron_core import errors
from novacron_core.api.operations import Target
from novacron_core.api.vms import State
from novacron_server.database.transactions import Connection, Database
from novacron_server.hypervisor.host import LibvirtHost
from novacron_server.inventory.inventory import Inventory
from novacron_server.inventory.rows import VMRow, VolumeRow
from novacron_server.operations import repository as operations
from novacron_server.operations.context import CompletedAnyway, OperationContext
from novacron_server.operations.failpoints import failpoint
from novacron_server.operations.repository import Stored
from novacron_server.operations.retries import retry_while_database_down
from novacron_server.outbox.group_commit import GroupCommit
from novacron_server.outbox.records import EventDraft
from novacron_server.vms import repository
from novacron_server.volumes import repository as volumes
from novacron_server.volumes.row_events import volume_row_event
from novacron_server.volumes.users import in_use

UNDONE_LATER = "undone_later"
"""The step that marks a failed creation of which something is left."""
WHOLE = "whole"
"""The step that marks one that did not end well, and whose VM is there all the same."""


class VMRemoval:
    """Each step can be done twice, so that a crash in the middle is mended by doing it again."""

    def __init__(self, database: Database, group_commit: GroupCommit, inventory: Inventory) -> None:
        self._database = database
        self._group_commit = group_commit
        self._inventory = inventory

    async def delete(self, run: OperationContext, host_id: str, vm_id: str, *, disks: bool) -> None:
        """Delete a stopped VM; with `disks`, every volume of ours that it has.

        Raises Conflict, before anything is done, naming another VM that uses one of these.
        """
        await run.report_step("removing the VM and its disks" if disks else "removing the VM")
        goes = await self._disks_of(host_id, vm_id) if disks else []
        await run.write_ahead(goes=[volume.id for volume in goes])
        await self._delete(host_id, vm_id, goes)

    async def undo_deletion(self, stored: Stored) -> str:
        """After a failure: a VM that is still there stays; what belonged to one that is gone goes."""
        host = self._inventory.host(stored.host_id or "")
        if await host.read_domain(stored.operation.target.id) is not None:
            return "it was left as it is"
        return await self.delete_again(stored)

    async def delete_again(self, stored: Stored) -> str:
        """After a crash: the operator wanted it gone, so finish that."""
        host_id, vm_id = stored.host_id or "", stored.operation.target.id
        facts = await self._inventory.host(host_id).read_domain(vm_id)
        if facts is not None and facts.state is not State.STOPPED:
            return f"the VM is {facts.state}, so it was left alone"
        try:
            told = stored.steps.get("goes")  # the VM, which could say it, may be gone by now
            goes = await self._disks_of(host_id, vm_id, told) if stored.request.get("disks") else []
            await self._delete(host_id, vm_id, goes)
        except errors.Conflict as e:
            return f"it was left alone: {e.detail}"
        return CompletedAnyway("the deletion was finished")

    async def _disks_of(self, host_id: str, vm_id: str, told: Collection[str] | None = None) -> list[VolumeRow]:
        """The volumes that are to go with a VM: not those that were detached from it outside NovaCron. `told`: the ids
        of those that it had.

        Raises Conflict naming another VM that uses one of these.
        """
        host, found = self._inventory.host(host_id), []
        read = lambda: self._database.run(lambda c: volumes.of_vm(c, host_id, vm_id), read_only=True)  # noqa: E731
        there = await host.read_domain(vm_id) is not None
        made = await retry_while_database_down("reading a VM's volumes", read)
        for volume in made if told is None else [volume for volume in made if volume.id in told]:
            facts = await host.storage.read_volume(volume.pool, volume.name)
            users = await host.disks.users(facts.path) if facts else []
            if facts and there and all(user.uuid != vm_id for user in users):
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
        await self.forget(host_id, vm_id, goes)
        await self._refresh(host_id, vm_id)

    async def undo_creation(self, stored: Stored) -> str:
        """Take away what a creation that did not finish had made, and only that.

        A VM is defined last, when its disks are whole: one that bears this operation's mark is kept.
        """
        host_id, vm_id = stored.host_id or "", stored.operation.target.id
        host = self._inventory.host(host_id)
        facts = await host.read_domain(vm_id)
        if facts is not None and facts.tag is not None and facts.tag.operation == stored.operation.id:
            await self._mark(stored, WHOLE, True)
            await self._refresh(host_id, vm_id)
            return f"the VM is whole and {facts.state}"
        try:
            await self.delete_made(host, stored)
        except errors.Conflict:  # its pool is off: the rows stay until that is back, and with them the name
            await self._mark(stored, UNDONE_LATER, True)
            raise
        made = await self._database.run(lambda c: volumes.of_vm(c, host_id, vm_id), read_only=True)
        await self.forget(host_id, vm_id, made)
        await self._refresh(host_id, vm_id)
        return "what it had made was removed"

    async def retry_undo(self, stored: Stored) -> None:
        """What `undo_creation` could not do for a pool that was off. Raises Conflict while it is."""
        await self.undo_creation(stored)
        await self._mark(stored, UNDONE_LATER, False)

    async def _mark(self, stored: Stored, step: str, value: bool) -> None:
        steps = {**stored.steps, step: value}
        write = lambda: self._database.run(lambda c: operations.write_ahead(c, stored.operation.id, steps))  # noqa: E731
        await retry_while_database_down("marking what is left", write)

    @staticmethod
    async def delete_made(host: LibvirtHost, stored: Stored) -> None:
        """Delete the volumes that a creation had begun to make; their names are nobody else's."""
        for name in stored.steps.get("volumes", []):
            await host.storage.delete_volume(stored.steps["pool"], name)

    async def forget(self, host_id: str, vm_id: str, gone: Sequence[VolumeRow] = (), note: str = "") -> None:
        """Remove the VM's row and those of the volumes that went with it; the others stay with their owner."""

        async def work(connection: Connection) -> tuple[None, list[EventDraft]]:
            row = await repository.get(connection, host_id, vm_id)
            kept = [v for v in await volumes.of_vm(connection, host_id, vm_id) if v.id not in {g.id for g in gone}]
            await repository.remove(connection, host_id, vm_id)
            for volume in gone:
                await volumes.remove(connection, volume.id)
            await volumes.release(connection, host_id, vm_id)
            drafts = [volume_row_event(volume, gone=True) for volume in gone]
            drafts += [volume_row_event(msgspec.structs.replace(volume, vm_id=None)) for volume in kept]
            if row:
                drafts.append(vm_row_event(row, "vm.deleted", gone=True, note=note))
            return None, drafts

        await retry_while_database_down("forgetting a VM", lambda: self._group_commit.write(work))

    async def _refresh(self, host_id: str, vm_id: str) -> None:
        await self._inventory.refresh_vm(host_id, vm_id)
        await self._inventory.refresh_volumes(host_id)


def vm_row_event(row: VMRow, kind: str, *, gone: bool = False, note: str = "") -> EventDraft:
    """The event that carries a VM's row, or its end."""
    return EventDraft(
        type=kind,
        source=row.host_id,
        target=Target(type="vm", id=row.id, name=row.name),
        tenant=row.tenant,
        row=msgspec.to_builtins(row),
        gone=gone,
        note=note,
    )
