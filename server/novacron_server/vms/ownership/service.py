"""Checks and submits changes of whose a VM or a volume is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import msgspec

from novacron_core import errors
from novacron_core.api.audit import AuditResult
from novacron_core.api.operations import Operation, Target
from novacron_core.api.ownership import Adopt, HandOver
from novacron_core.api.problem import FieldError
from novacron_core.api.vms import VM
from novacron_core.api.volumes import Volume
from novacron_core.rules.visibility import Principal, may
from novacron_core.rules.vm_actions import VMAction, why_not_vm
from novacron_core.rules.volume_actions import VolumeAction, why_not_volume
from novacron_core.values.operation_kinds import OperationKind
from novacron_core.values.roles import Permission
from novacron_server.access import repository as accounts
from novacron_server.audit.records import AuditDraft, acting, chain_of
from novacron_server.database.transactions import Connection
from novacron_server.inventory.inventory import Inventory
from novacron_server.inventory.rows import VMRow, VolumeRow
from novacron_server.operations.runner import Operations
from novacron_server.operations.submission import Submission
from novacron_server.outbox.records import EventDraft
from novacron_server.quotas import repository as quotas
from novacron_server.vms import repository
from novacron_server.vms.procedures.ownership import OwnershipSteps
from novacron_server.vms.row_events import vm_row_event
from novacron_server.vms.service import BulkChild
from novacron_server.volumes import repository as volume_rows
from novacron_server.volumes.procedures.hand_over import HandOverVolumeSteps
from novacron_server.volumes.row_events import volume_row_event

_OTHER_OWNER = "only its owner, or an owner of the tenant, can hand it over"
_CHANGED = "{} has changed: refresh and try again"
_OTHER_TENANT = "only administrators can move it to another tenant"


class Ownership:
    """The service for handovers, adoptions and releases."""

    def __init__(self, inventory: Inventory, operations: Operations) -> None:
        self._inventory = inventory
        self._operations = operations

    async def hand_over_vm(
        self, principal: Principal, vm_id: str, body: HandOver, key: str, *, bulk: BulkChild | None = None
    ) -> Operation:
        """Give a VM and its disks another owner or tenant.

        Raises NotFound, Forbidden, ValidationFailed (nothing changes, no such member), Conflict, QuotaExceeded.
        """

        async def decide() -> Submission[OwnershipSteps]:
            vm = self._inventory.vm(principal, vm_id)
            self._refuse(VMAction.HAND_OVER, vm)
            tenant, owner = _recipient(principal, vm, body)
            taken = self._volumes_of(vm, managed=True)
            if tenant != vm.tenant:
                self._check_chains(vm, taken)
            steps = OwnershipSteps(
                tenant_before=vm.tenant or "",
                owner_before=vm.owner or "",
                tenant=tenant,
                owner=owner,
                volumes=[volume.id for volume in taken],
            )

            async def rows(connection: Connection, operation: Operation) -> list[EventDraft]:
                with _without_details(vm, tenant):
                    await check_member(connection, owner, tenant)
                    if tenant != vm.tenant:
                        await quotas.check(connection, tenant, _demand(vm, taken), operation_id=operation.id)
                note = f"handed over to {owner} by {principal.username}"
                drafts = await _give(connection, vm, taken, (tenant, owner), note)
                if tenant != vm.tenant:
                    drafts = _received(drafts, principal, operation, tenant)
                return [*drafts, *await _of_bulk(bulk, connection, operation)]

            return Submission(
                target=Target(type="vm", id=vm.id, name=vm.name),
                host_id=vm.host,
                tenant=vm.tenant,
                steps=steps,
                rows=rows,
                locks=_locks(taken),
            )

        request, parent = {"vm": vm_id, **msgspec.to_builtins(body)}, bulk.id if bulk else None
        return await self._operations.submit(OperationKind.VM_HAND_OVER, principal, key, request, decide, parent=parent)

    async def adopt(self, principal: Principal, vm_id: str, body: Adopt, key: str) -> Operation:
        """Take an unmanaged VM and its disks into a tenant.

        Disks that are read-only, no volumes, or disks of other VMs too stay unmanaged. Raises as `hand_over_vm`.
        """

        async def decide() -> Submission[OwnershipSteps]:
            vm = self._inventory.vm(principal, vm_id)
            self._refuse(VMAction.ADOPT, vm)
            owner = body.owner or principal.username
            taken = self._volumes_of(vm, managed=False)
            steps = OwnershipSteps(tenant=body.tenant, owner=owner, volumes=[volume.id for volume in taken])

            async def rows(connection: Connection, operation: Operation) -> list[EventDraft]:
                await check_member(connection, owner, body.tenant)
                await quotas.check(connection, body.tenant, _demand(vm, taken), operation_id=operation.id)
                return await _add_rows(connection, vm, taken, body.tenant, owner)

            return Submission(
                target=Target(type="vm", id=vm.id, name=vm.name),
                host_id=vm.host,
                tenant=body.tenant,
                steps=steps,
                rows=rows,
                locks=_locks(taken),
            )

        request = {"vm": vm_id, **msgspec.to_builtins(body)}
        return await self._operations.submit(OperationKind.VM_ADOPT, principal, key, request, decide)

    async def release(self, principal: Principal, vm_id: str, key: str) -> Operation:
        """Stop managing a VM and its disks, which stay as they are. Raises NotFound, Conflict."""

        async def decide() -> Submission[OwnershipSteps]:
            vm = self._inventory.vm(principal, vm_id)
            self._refuse(VMAction.RELEASE, vm)
            taken = self._volumes_of(vm, managed=True)
            return Submission(
                target=Target(type="vm", id=vm.id, name=vm.name),
                host_id=vm.host,
                tenant=vm.tenant,
                steps=OwnershipSteps(
                    tenant_before=vm.tenant or "",
                    owner_before=vm.owner or "",
                    volumes=[volume.id for volume in taken],
                ),
                locks=_locks(taken),
            )

        return await self._operations.submit(OperationKind.VM_RELEASE, principal, key, {"vm": vm_id}, decide)

    async def hand_over_volume(
        self, principal: Principal, volume_id: str, body: HandOver, key: str, *, bulk: BulkChild | None = None
    ) -> Operation:
        """Give a volume that no VM has another owner or tenant. Raises as `hand_over_vm`."""

        async def decide() -> Submission[HandOverVolumeSteps]:
            volume = self._inventory.volume(principal, volume_id)
            self._inventory.require_host_up(volume.host)
            state = self._inventory.state
            refused = why_not_volume(
                VolumeAction.HAND_OVER, volume, None, operation=state.operation_on(volume), vm_operation=None
            )
            if refused:
                raise errors.Conflict(refused)
            tenant, owner = _recipient(principal, volume, body)
            if tenant != volume.tenant:
                self._check_chains(volume, [volume])

            async def rows(connection: Connection, operation: Operation) -> list[EventDraft]:
                with _without_details(volume, tenant):
                    await check_member(connection, owner, tenant)
                    if tenant != volume.tenant and volume.tier is not None:
                        demand = quotas.Demand(disk_bytes={volume.tier: volume.size_bytes})
                        await quotas.check(connection, tenant, demand, operation_id=operation.id)
                drafts = [await _give_volume(connection, volume, (tenant, owner))]
                if tenant != volume.tenant:
                    drafts = _received(drafts, principal, operation, tenant)
                return [*drafts, *await _of_bulk(bulk, connection, operation)]

            return Submission(
                target=Target(type="volume", id=volume.id, name=volume.name),
                host_id=volume.host,
                tenant=volume.tenant,
                steps=HandOverVolumeSteps(),
                rows=rows,
            )

        request, parent = {"volume": volume_id, **msgspec.to_builtins(body)}, bulk.id if bulk else None
        return await self._operations.submit(
            OperationKind.VOLUME_HAND_OVER, principal, key, request, decide, parent=parent
        )

    # -- internal ----------------------------------------------------------------------------------------------------

    def _refuse(self, action: VMAction, vm: VM) -> None:
        self._inventory.require_host_up(vm.host)
        if refused := why_not_vm(action, vm, self._inventory.state.operation_on(vm)):
            raise errors.Conflict(refused)

    def _volumes_of(self, vm: VM, *, managed: bool) -> list[Volume]:
        """The volumes that go with a VM: all that are its own. Of an unmanaged one only disks that it can write."""
        written = {disk.volume for disk in vm.disks if disk.device == "disk" and not disk.read_only}
        return [
            volume
            for volume in self._inventory.state.storage.volumes_on(vm.host).values()
            if volume.vm == vm.id
            and (volume.tenant == vm.tenant if managed else volume.unmanaged and volume.id in written)
        ]

    def _check_chains(self, thing: VM | Volume, taken: Sequence[Volume]) -> None:
        """Raises Conflict when files of two tenants would depend on each other."""
        names = {volume.name for volume in taken}
        for volume in taken:
            for other in self._inventory.state.storage.overlays(volume):
                if other.name in names:
                    continue
                # Members of the tenant read why a bulk of an administrator was refused: it names nothing of others.
                name = other.name if other.tenant == thing.tenant else "a volume that is not of this tenant"
                raise errors.Conflict(
                    f"{volume.name} is the backing file of {name}: {thing.name} cannot go to another tenant"
                )


async def _give(
    connection: Connection, vm: VM, taken: Sequence[Volume], to: tuple[str, str], note: str
) -> list[EventDraft]:
    """Write whose a VM and its volumes are. Raises Conflict when somebody else has changed that since the check: who may
    give them away is decided by it."""
    before = (vm.tenant or "", vm.owner or "")
    row = await repository.set_owner(connection, vm.host, vm.id, to, before=before)
    if row is None:
        raise errors.Conflict(_CHANGED.format(vm.name))
    return [vm_row_event(row, "vm.updated", note=note), *[await _give_volume(connection, each, to) for each in taken]]


async def _give_volume(connection: Connection, volume: Volume, to: tuple[str, str]) -> EventDraft:
    """As `_give`, for one volume."""
    before = (volume.tenant or "", volume.owner or "")
    row = await volume_rows.set_owner(connection, volume.id, to, before=before)
    if row is None:
        raise errors.Conflict(_CHANGED.format(volume.name))
    return volume_row_event(row, "volume.updated")


async def _of_bulk(bulk: BulkChild | None, connection: Connection, operation: Operation) -> list[EventDraft]:
    """Write that the operation is part of a bulk, if it is. Raises Conflict when the bulk was stopped."""
    return await bulk.rows(connection, operation) if bulk else []


def _locks(volumes: Sequence[Volume]) -> tuple[Target, ...]:
    return tuple(Target(type="volume", id=volume.id, name=volume.name) for volume in volumes)


def _recipient(principal: Principal, thing: VM | Volume, body: HandOver) -> tuple[str, str]:
    """The new (tenant, owner). Raises Forbidden, ValidationFailed."""
    owner_now = thing.owner or ""
    tenant, owner = body.tenant or thing.tenant or "", body.owner or owner_now
    if (tenant, owner) == (thing.tenant, owner_now):
        message = f"{thing.name} belongs to {owner_now} in {thing.tenant} already"
        raise errors.ValidationFailed(message, fields=[FieldError(field="owner", message=message)])
    if tenant != thing.tenant and not may(principal, Permission.ACCESS_ADMIN):
        raise errors.Forbidden(f"{thing.name}: {_OTHER_TENANT}")
    if owner_now != principal.username and not may(principal, Permission.PEOPLE_CHANGE):
        raise errors.Forbidden(f"{thing.name} belongs to {owner_now}: {_OTHER_OWNER}")
    return tenant, owner


def _received(
    drafts: Sequence[EventDraft], principal: Principal, operation: Operation, tenant: str
) -> list[EventDraft]:
    """The events, with an entry in the audit log of the tenant that gets a VM or volume. That of the tenant which gives it
    has the entry of the operation."""
    entry = AuditDraft(
        tenant=chain_of(tenant),
        action=operation.kind,
        target=operation.target,
        result=AuditResult.ACCEPTED,
        actor=acting(principal),
        status=202,
        detail=f"operation {operation.id}, from another tenant",
    )
    return [msgspec.structs.replace(draft, audit=entry if at == 0 else None) for at, draft in enumerate(drafts)]


@contextmanager
def _without_details(thing: VM | Volume, tenant: str) -> Iterator[None]:
    """Refuse a handover to another tenant without its name, use and people: the operation and the entry in the audit log
    are read in the tenant that the thing stays in."""
    try:
        yield
    except (errors.QuotaExceeded, errors.ValidationFailed) as e:
        if tenant == thing.tenant:
            raise
        if isinstance(e, errors.QuotaExceeded):
            message = f"the quota of the new tenant has no room for {thing.name}: free some, or enlarge the quota"
            raise errors.QuotaExceeded(message) from e
        message = f"the new owner of {thing.name} is not a member of the new tenant, or the account is disabled"
        raise errors.ValidationFailed(message, fields=[FieldError(field="owner", message=message)]) from e


async def check_member(connection: Connection, owner: str, tenant: str, *, field: str = "owner") -> None:
    """Raises ValidationFailed when there is no such member of the tenant; also when there is no such tenant."""
    if not await accounts.is_member(connection, owner, tenant):
        message = f"{owner} is not a member of the tenant {tenant}, or the account is disabled"
        raise errors.ValidationFailed(message, fields=[FieldError(field=field, message=message)])


def _demand(vm: VM, volumes: Sequence[Volume]) -> quotas.Demand:
    disk_bytes: dict[str, int] = {}
    for volume in volumes:
        if volume.tier is not None:
            disk_bytes[volume.tier] = disk_bytes.get(volume.tier, 0) + volume.size_bytes
    return quotas.Demand(vms=1, vcpus=vm.vcpus, memory_bytes=vm.memory_bytes, disk_bytes=disk_bytes)


async def _add_rows(
    connection: Connection, vm: VM, volumes: Sequence[Volume], tenant: str, owner: str
) -> list[EventDraft]:
    """Insert the rows of an adopted VM and its volumes. Raises NameTaken."""
    now = datetime.now(UTC)
    row = VMRow(
        id=vm.id,
        host_id=vm.host,
        name=vm.name,
        tenant=tenant,
        owner=owner,
        tier=next((volume.tier for volume in volumes if volume.tier), None),
        description=vm.description,
        spec={"vcpus": vm.vcpus, "memory_bytes": vm.memory_bytes},
        created_at=now,
        updated_at=now,
    )
    await repository.add(connection, row)
    drafts = [vm_row_event(row, "vm.updated", note=f"adopted by {owner}")]
    formats = {disk.volume: disk.format for disk in vm.disks}
    for volume in volumes:
        new = VolumeRow(
            id=volume.id,
            host_id=volume.host,
            pool=volume.pool,
            name=volume.name,
            tenant=tenant,
            owner=owner,
            tier=volume.tier,
            vm_id=vm.id,
            # What the VM's definition says: libvirt guesses a format from bytes that the guest can write.
            format=formats.get(volume.id) or volume.format,
            created_at=now,
            size_bytes=volume.size_bytes,
        )
        await volume_rows.add(connection, new)
        drafts.append(volume_row_event(new))
    return drafts
