"""Restores the rows of managed VMs that libvirt lists again: a disk is mounted again, a definition was restored."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import msgspec
import structlog

from novacron_core import errors
from novacron_core.api.operations import OperationState
from novacron_core.api.vms import VMCreate
from novacron_core.values.operation_kinds import OperationKind
from novacron_server.access import repository as accounts
from novacron_server.database.transactions import Connection, Database
from novacron_server.hypervisor.facts import DomainFacts, OwnershipTag
from novacron_server.hypervisor.host import LibvirtHost
from novacron_server.inventory.inventory import Inventory
from novacron_server.inventory.rows import VMRow
from novacron_server.operations import journal
from novacron_server.operations import repository as operations
from novacron_server.operations.repository import StoredOperation
from novacron_server.outbox.group_commit import GroupCommit
from novacron_server.outbox.records import EventDraft
from novacron_server.tasks import try_to
from novacron_server.vms import repository
from novacron_server.vms.procedures.create import CreateSteps
from novacron_server.vms.row_events import vm_row_event
from novacron_server.volumes import repository as volumes
from novacron_server.volumes.row_events import volume_row_event

_log = structlog.get_logger()


class ReappearedVMs:
    """Creates their rows again, from the domain's ownership tag and the operation that created the VM."""

    def __init__(self, database: Database, group_commit: GroupCommit, inventory: Inventory, instance: str) -> None:
        self._database = database
        self._group_commit = group_commit
        self._inventory = inventory
        self._instance = instance

    async def restore(self, host: LibvirtHost) -> None:
        """Restore the rows of a host's VMs. One that cannot be restored keeps no other from it."""
        state = self._inventory.state
        for (host_id, vm_id), known in list(state.known.items()):
            tag = known.facts.tag
            tagged = tag is not None and tag.instance == self._instance and _is_uuid(tag.operation)
            if host_id == host.host_id and tag and tagged and (host_id, vm_id) not in state.rows:
                await try_to(f"restoring the VM {vm_id}", partial(self._restore, host, known.facts, tag))

    async def _restore(self, host: LibvirtHost, facts: DomainFacts, tag: OwnershipTag) -> None:
        stored = await self._database.run(lambda c: operations.get(c, tag.operation), read_only=True)
        # A VM that is being deleted may still be known, so ask the host.
        if stored and _created(stored, host.host_id, facts.uuid) and await host.read_domain(facts.uuid) is not None:
            await self._restore_vm(stored, facts)

    async def _restore_vm(self, stored: StoredOperation, facts: DomainFacts) -> None:
        row, host_id = _row(stored, facts), stored.host_id or ""
        await self._inventory.refresh_volumes(host_id)  # so that it is known which of them the VM has
        volumes_on = self._inventory.state.storage.volumes_on(host_id).values()
        volume_ids = [volume.id for volume in volumes_on if volume.vm == row.id and not volume.unmanaged]

        async def work(connection: Connection) -> tuple[None, list[EventDraft]]:
            if await repository.get(connection, host_id, row.id):
                return None, []
            owner = await accounts.owner_as_of(connection, row.owner, stored.operation.created_at)
            found = msgspec.structs.replace(row, owner=owner)
            await repository.add(connection, found)
            changed = [await volumes.change(connection, volume_id, vm_id=row.id) for volume_id in volume_ids]
            drafts = [volume_row_event(volume, "volume.updated") for volume in changed if volume]
            return None, [vm_row_event(found, "vm.updated", note="found again"), *drafts]

        _log.warning("a managed VM is back", vm=row.name, id=row.id)
        await self._group_commit.write(work)


def _created(stored: StoredOperation, host_id: str, vm_id: str) -> bool:
    """Whether the operation created this VM, completely."""
    operation = stored.operation
    same_vm = (operation.kind, operation.target.id, stored.host_id) == (OperationKind.VM_CREATE, vm_id, host_id)
    return same_vm and (operation.state is OperationState.SUCCEEDED or journal.read(stored, CreateSteps).steps.whole)


def _row(stored: StoredOperation, facts: DomainFacts) -> VMRow:
    operation = stored.operation
    try:
        body = msgspec.convert(stored.request, VMCreate)
    except msgspec.ValidationError as e:
        raise errors.Internal(f"the request of the operation {operation.id} cannot be read: {e}") from e
    return VMRow(
        id=operation.target.id,
        host_id=stored.host_id or "",
        name=facts.name,
        tenant=operation.tenant or "",
        owner=operation.actor,
        tags=body.tags,
        tier=body.tier,
        description=body.description,
        spec=stored.request,
        created_at=operation.created_at,
        updated_at=datetime.now(UTC),
    )


def _is_uuid(text: str) -> bool:
    """Anybody can edit a domain's metadata, so check before the database converts it."""
    try:
        UUID(text)
    except ValueError:
        return False
    return True
