"""Checks and submits changes of existing volumes, and determines what is locked while they run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from novacron_core import errors
from novacron_core.api.operations import Operation, Target
from novacron_core.api.vms import VM
from novacron_core.api.volumes import Volume
from novacron_core.rules.operation_words import why_busy
from novacron_core.rules.visibility import Principal
from novacron_core.rules.volume_actions import VolumeAction, why_not_volume
from novacron_core.values.operation_kinds import OperationKind
from novacron_server.access import repository as accounts
from novacron_server.database.transactions import Connection
from novacron_server.hypervisor.facts import VolumeFacts
from novacron_server.hypervisor.vms.disks import DiskUser
from novacron_server.inventory.inventory import Inventory
from novacron_server.inventory.rows import VolumeRow
from novacron_server.operations import repository as operations
from novacron_server.operations.journal import Steps
from novacron_server.operations.runner import Operations
from novacron_server.operations.submission import Submission
from novacron_server.outbox.records import EventDraft
from novacron_server.volumes import repository
from novacron_server.volumes.row_events import volume_row_event
from novacron_server.volumes.rows import check_quota, remove_stale_row
from novacron_server.volumes.users import VolumeUsers, overlays


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What an action decides about a volume: its first journal, the row of a volume that it creates, and the stale rows
    that it replaces (of volumes that were removed outside NovaCron). `size_bytes` is the size to which it grows, `tier`
    the tier to which it moves: both count against the tenant's quota at once."""

    steps: Steps
    created: VolumeRow | None = None
    stale: Sequence[VolumeRow | None] = ()
    size_bytes: int | None = None
    tier: str | None = None


Decider = Callable[[Volume, VolumeFacts, VM | None], Awaitable[Decision]]
"""An action's own checks. Raises the error that refuses it."""


class VolumeChanges:
    """A change of a VM's disk is an operation on the VM and locks the volume; any other is one on the volume."""

    def __init__(self, inventory: Inventory, operations: Operations) -> None:
        self._inventory = inventory
        self._operations = operations

    async def submit(
        self,
        action: VolumeAction,
        principal: Principal,
        volume_id: str,
        body: msgspec.Struct | None,
        key: str,
        decide: Decider,
        *,
        why_not: Callable[[DiskUser], str | None] = lambda user: None,
        to_vm: str | None = None,
        to_tier: str | None = None,
    ) -> Operation:
        """Submit the action. Raises Conflict with the reason why it is refused.

        `why_not` returns why the way in which the VM uses the disk forbids the action. `to_vm` is the VM to attach to,
        `to_tier` the tier to move to.
        """
        request: dict[str, Any] = {"volume": volume_id, **(msgspec.to_builtins(body) if body else {})}

        async def check() -> Submission[Steps]:
            volume, vm = self._check(action, principal, volume_id, to_vm, to_tier)
            facts = self._inventory.state.storage.facts(volume)
            if facts is None:
                raise errors.NotFound("volume not found")
            decision = await decide(volume, facts, vm)
            host = self._inventory.host(volume.host)
            users = VolumeUsers.for_principal(self._inventory, host, principal)
            user = await users.only(volume.name, facts.path, vm.id if vm else None)
            if user and (refused := why_not(user)):
                raise errors.Conflict(refused)
            created = (_target(decision.created),) if decision.created else ()
            return Submission(
                target=_target(vm) if vm else _target(volume),
                host_id=volume.host,
                tenant=volume.tenant,
                vm_tenant=vm.tenant if vm else None,
                steps=decision.steps,
                rows=lambda connection, operation: _write_rows(connection, operation, volume, vm, decision),
                locks=(*((_target(volume),) if vm else ()), *created),
            )

        return await self._operations.submit(OperationKind(f"volume.{action}"), principal, key, request, check)

    def _check(
        self, action: VolumeAction, principal: Principal, volume_id: str, to_vm: str | None, to_tier: str | None
    ) -> tuple[Volume, VM | None]:
        """The volume, and the VM that has it or will get it. Raises NotFound, HostUnavailable, Conflict."""
        vm = self._inventory.vm(principal, to_vm) if to_vm else None
        volume = self._inventory.volume(principal, volume_id)
        self._inventory.require_host_up(volume.host)
        vm = vm or self.vm_of(principal, volume)
        if refused := self.why_not(action, volume, vm, tier=to_tier):
            raise errors.Conflict(refused)
        if action is not VolumeAction.CLONE and (found := overlays(self._inventory, principal, volume)):
            raise errors.Conflict(why_not_backing_file(volume, found))
        return volume, vm

    def why_not(self, action: VolumeAction, volume: Volume, vm: VM | None, *, tier: str | None = None) -> str | None:
        """Why `action` is refused now, as a sentence; None if it is allowed."""
        state = self._inventory.state
        pool = state.storage.pools_on(volume.host).get(volume.pool)
        return why_not_volume(
            action,
            volume,
            vm,
            operation=state.operation_on(volume),
            vm_operation=state.operation_on(vm) if vm else None,
            tier=tier,
            pool_type=pool.type if pool else "",
        )

    def vm_of(self, principal: Principal, volume: Volume) -> VM | None:
        """The VM that uses a volume; None if there is none that this principal may see."""
        vms = self._inventory.vms(principal) if volume.vm else ()
        return next((vm for vm in vms if vm.id == volume.vm and vm.host == volume.host), None)


def why_not_backing_file(volume: Volume, found: Sequence[str]) -> str:
    """Why a backing file must not be changed, as a sentence. `found` are the names of its overlays."""
    return f"{volume.name} is the backing file of {found[0]}: delete {found[0]} first"


async def _write_rows(
    connection: Connection, operation: Operation, volume: Volume, vm: VM | None, decision: Decision
) -> list[EventDraft]:
    row = await repository.get(connection, volume.id)
    # Another change may have started and ended during the checks: a move, or a hand-over to another tenant.
    if row is None or row.pool != volume.pool or row.tenant != volume.tenant:
        raise errors.Conflict(f"{volume.name} has changed: refresh and try again")
    if row.vm_id and row.vm_id != (vm.id if vm else None):
        await _check_vm_idle(connection, row)
    drafts = [draft for row in decision.stale for draft in await remove_stale_row(connection, row)]
    if decision.size_bytes is not None:
        more_bytes = decision.size_bytes - max(row.size_bytes, volume.size_bytes)
        await check_quota(connection, operation, row.tenant, row.tier, more_bytes)
        await repository.change(connection, row.id, size_bytes=decision.size_bytes)
    if decision.tier is not None and decision.tier != row.tier:
        await check_quota(connection, operation, row.tenant, decision.tier, max(row.size_bytes, volume.size_bytes))
    if decision.created is not None:
        created = await _owned_by_a_member(connection, decision.created, operation)
        await check_quota(connection, operation, created.tenant, created.tier, created.size_bytes)
        await repository.add(connection, created)
        drafts.append(volume_row_event(created))
    return drafts


async def _owned_by_a_member(connection: Connection, created: VolumeRow, operation: Operation) -> VolumeRow:
    """The row, owned by who asked if its owner has left the tenant."""
    if created.owner == operation.actor or await accounts.is_member(connection, created.owner, created.tenant):
        return created
    return msgspec.structs.replace(created, owner=operation.actor)


async def _check_vm_idle(connection: Connection, row: VolumeRow) -> None:
    """Raises Conflict while the VM that the volume was created for is being created or deleted."""
    holder = await operations.holder(connection, Target(type="vm", id=row.vm_id or "", name=""))
    if holder is not None:
        raise errors.Conflict(why_busy(row.name, holder.operation))


def _target(object_: VM | Volume | VolumeRow) -> Target:
    return Target(type="vm" if isinstance(object_, VM) else "volume", id=object_.id, name=object_.name)
