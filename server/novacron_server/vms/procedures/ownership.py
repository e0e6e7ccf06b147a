"""Hand a VM over to another owner or tenant, adopt an unmanaged one, and release a managed one.

The rows say whose a VM is. They are written when the operation is accepted; what is left to do then is NovaCron's tag in
the domain, which repeats it. A release removes the rows at its end.
"""

from __future__ import annotations

from novacron_core.values.operation_kinds import OperationKind
from novacron_server.access import repository as accounts
from novacron_server.database.transactions import Connection
from novacron_server.hypervisor.facts import OwnershipTag
from novacron_server.inventory.inventory import Inventory
from novacron_server.operations.context import CompletedAnyway, OperationContext
from novacron_server.operations.failpoints import failpoint
from novacron_server.operations.journal import Journal, Steps
from novacron_server.operations.procedures import Procedure
from novacron_server.operations.retries import retry_while_database_down
from novacron_server.outbox.group_commit import GroupCommit
from novacron_server.outbox.records import EventDraft
from novacron_server.vms import repository
from novacron_server.vms.row_events import vm_row_event
from novacron_server.vms.rows import release_vm
from novacron_server.volumes import repository as volumes
from novacron_server.volumes.row_events import volume_row_event


class OwnershipSteps(Steps, frozen=True):
    """Whose the VM was, and whose it becomes; `volumes` are the ids of the volumes that go with it. Empty: nobody's."""

    tenant_before: str = ""
    owner_before: str = ""
    tenant: str = ""
    owner: str = ""
    volumes: list[str] = []


class ChangeOwnership(Procedure[OwnershipSteps]):
    """The part that all three kinds share: tag the domain, and show it again."""

    steps = OwnershipSteps

    def __init__(self, inventory: Inventory, group_commit: GroupCommit, instance: str) -> None:
        """`instance` is the installation's UUID, which is written into every managed domain."""
        self._inventory = inventory
        self._group_commit = group_commit
        self._instance = instance

    async def run(self, context: OperationContext[OwnershipSteps]) -> None:
        """Raises HostUnavailable, and what libvirt refuses."""
        await failpoint(f"{self.kind}:began")
        await self._inventory.barrier(context.accepted_seq)
        await self._write(context.entry)
        await failpoint(f"{self.kind}:tagged")
        await self._finish(context.entry)

    async def _write(self, entry: Journal[OwnershipSteps]) -> None:
        """Write the tag, if the VM still exists."""
        host, vm_id = self._inventory.host(entry.host_id), entry.operation.target.id
        facts = await host.read_domain(vm_id)
        if facts is None:
            return
        tag = facts.tag
        await host.set_tag(
            vm_id,
            OwnershipTag(
                instance=self._instance,
                tenant=entry.steps.tenant,
                operation=tag.operation if tag is not None and tag.operation else entry.operation.id,
                generation=tag.generation + 1 if tag is not None else 1,
            ),
        )

    async def _finish(self, entry: Journal[OwnershipSteps]) -> None:
        await self._inventory.refresh_vm(entry.host_id, entry.operation.target.id)
        await self._inventory.refresh_volumes(entry.host_id)

    async def resume(self, context: OperationContext[OwnershipSteps]) -> str:
        await self._write(context.entry)
        await self._finish(context.entry)
        return CompletedAnyway("it was completed after the restart")


class HandOverVM(ChangeOwnership):
    kind = OperationKind.VM_HAND_OVER
    failpoints = ("vm.hand-over:began", "vm.hand-over:tagged")

    async def undo(self, entry: Journal[OwnershipSteps]) -> str:
        """Give the rows back, as far as they are as this operation has written them: it may be repeated long after it was
        tried first. What an account has owned that is deleted by now belongs to a former user."""
        steps, accepted_at = entry.steps, entry.operation.created_at

        async def work(connection: Connection) -> tuple[str, list[EventDraft]]:
            owner = await accounts.owner_as_of(connection, steps.owner_before, accepted_at)
            back, given_to = (steps.tenant_before, owner), (steps.tenant, steps.owner)
            vm_id = entry.operation.target.id
            row = await repository.set_owner(connection, entry.host_id, vm_id, back, before=given_to)
            drafts = [vm_row_event(row, "vm.updated")] if row else []
            given = [await volumes.set_owner(connection, each, back, before=given_to) for each in steps.volumes]
            return owner, [*drafts, *(volume_row_event(volume, "volume.updated") for volume in given if volume)]

        owner = await retry_while_database_down("giving a VM back", lambda: self._group_commit.write(work))
        await self._finish(entry)
        return f"it belongs to {owner} again"


class AdoptVM(ChangeOwnership):
    kind = OperationKind.VM_ADOPT
    failpoints = ("vm.adopt:began", "vm.adopt:tagged")

    async def undo(self, entry: Journal[OwnershipSteps]) -> str:
        """Remove the rows: the VM is unmanaged again."""
        steps, vm_id = entry.steps, entry.operation.target.id
        own = (steps.tenant, steps.owner)  # it may have been adopted by others since this was tried first
        await release_vm(self._group_commit, entry.host_id, vm_id, steps.volumes, only_of=own)
        await self._finish(entry)
        return "the VM is unmanaged again"


class ReleaseVM(ChangeOwnership):
    kind = OperationKind.VM_RELEASE
    failpoints = ("vm.release:began", "vm.release:tagged")

    async def _write(self, entry: Journal[OwnershipSteps]) -> None:
        host, vm_id = self._inventory.host(entry.host_id), entry.operation.target.id
        if await host.read_domain(vm_id) is not None:
            await host.set_tag(vm_id, None)

    async def _finish(self, entry: Journal[OwnershipSteps]) -> None:
        await release_vm(self._group_commit, entry.host_id, entry.operation.target.id, entry.steps.volumes)
        await super()._finish(entry)
