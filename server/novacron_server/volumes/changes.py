"""Accepting a change of a volume: the rules, and who is held while it runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from novacron_core import errors
from novacron_core.api.operations import Operation, Target
from novacron_core.api.vms import VM
from novacron_core.api.volumes import Volume
from novacron_core.rules.visibility import Principal
from novacron_core.rules.volume_actions import VolumeAction, why_not_volume
from novacron_server.database.transactions import Connection
from novacron_server.hypervisor.facts import VolumeFacts
from novacron_server.hypervisor.vms.disks import DiskUser
from novacron_server.inventory.inventory import Inventory
from novacron_server.inventory.rows import VolumeRow
from novacron_server.operations import repository as operations
from novacron_server.operations.request import OperationRequest
from novacron_server.operations.runner import Operations, Work
from novacron_server.outbox.records import EventDraft
from novacron_server.volumes import repository
from novacron_server.volumes.creation import clear_place
from novacron_server.volumes.row_events import volume_row_event
from novacron_server.volumes.users import only_user, overlays

Check = Callable[[Volume], Awaitable[VolumeRow | None]]


class VolumeChanges:
    """A change of a VM's disk is an operation on the VM, which holds the volume; else one on the volume."""

    def __init__(self, inventory: Inventory, operations: Operations) -> None:
        self._inventory = inventory
        self._operations = operations

    async def on(
        self,
        action: VolumeAction,
        principal: Principal,
        volume_id: str,
        body: msgspec.Struct | None,
        key: str,
        work_on: Callable[[Volume, VolumeFacts], Work],
        *,
        check: Check | None = None,
        why_not: Callable[[DiskUser], str | None] | None = None,
        vm: VM | None = None,
        tier: str | None = None,
        may_cancel: bool = False,
        gone: Sequence[VolumeRow | None] = (),
    ) -> Operation:
        """Accept it, or raise Conflict with the rule's sentence.

        `check` may raise more, and returns the row of a volume that the work will make, if any. `why_not` is asked how its VM has the disk. `vm` is who is to
        get the volume, `tier` where it is to go; `gone` are rows whose places it takes, known when `check` was made.
        """
        kind = f"volume.{action}"
        words = {"volume": volume_id, **(msgspec.to_builtins(body) if body else {})}
        if before := await self._operations.repeated(principal, key, kind, words):
            return before
        volume = self._inventory.volume(principal, volume_id)
        self._inventory.require_host_up(volume.host)
        vm = vm or self.vm_of(principal, volume)
        if refused := why_not_volume(action, volume, vm, tier=tier):
            raise errors.Conflict(refused)
        if action is not VolumeAction.CLONE and (found := overlays(self._inventory, principal, volume)):
            raise errors.Conflict(f"{volume.name} is what {found[0]} leans on: delete that first")
        made = await check(volume) if check else None
        facts = self._inventory.state.storage.facts(volume)
        if facts is None:
            raise errors.NotFound("there is no such volume")
        user = await only_user(self._inventory.host(volume.host), volume.name, facts.path, vm.id if vm else None)
        if user and why_not and (refused := why_not(user)):
            raise errors.Conflict(refused)
        request = OperationRequest(
            kind=kind,
            target=_target(vm) if vm else _target(volume),
            host_id=volume.host,
            tenant=volume.tenant,
            principal=principal,
            body=words,
            idempotency_key=key,
            may_cancel=may_cancel,
            locks=(*((_target(volume),) if vm else ()), *((_target(made),) if made else ())),
        )

        async def rows(connection: Connection, _operation: Operation) -> list[EventDraft]:
            row = await repository.get(connection, volume.id)
            if row is None or row.pool != volume.pool:  # another change came and ended while we looked
                raise errors.Conflict(f"{volume.name} was changed meanwhile: look again")
            if row.vm_id and row.vm_id != (vm.id if vm else None):
                await _check_maker(connection, row)
            drafts = [draft for row in gone for draft in await clear_place(connection, row)]
            if made is not None:
                await repository.add(connection, made)
                drafts.append(volume_row_event(made))
            return drafts

        return await self._operations.start(request, work_on(volume, facts), rows)

    def vm_of(self, principal: Principal, volume: Volume) -> VM | None:
        """The VM that uses a volume, None where there is none that this principal may see."""
        vms = self._inventory.vms(principal) if volume.vm else ()
        return next((vm for vm in vms if vm.id == volume.vm and vm.host == volume.host), None)


async def _check_maker(connection: Connection, row: VolumeRow) -> None:
    """The VM that a volume was made for may be in the making, or be going. Raises Conflict."""
    held = await operations.holder(connection, Target(type="vm", id=row.vm_id or "", name=""))
    if held is not None:
        by = held.operation.actor or "somebody"
        raise errors.Conflict(f"{row.name} is busy: {held.operation.kind} by {by} is running")


def _target(thing: VM | Volume | VolumeRow) -> Target:
    return Target(type="vm" if isinstance(thing, VM) else "volume", id=thing.id, name=thing.name)
