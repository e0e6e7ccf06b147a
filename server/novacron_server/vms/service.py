"""What may be done to VMs and by whom; accepted work goes to the runner."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Iterator
from secrets import token_hex
from typing import Any
from uuid import uuid4

import msgspec

from novacron_core import errors
from novacron_core.api.operations import Operation, Target
from novacron_core.api.vms import VM, VMCreate
from novacron_core.rules.visibility import Principal, may_see
from novacron_core.rules.vm_actions import SUPERSEDES, VMAction, why_not_vm
from novacron_core.values.roles import Role
from novacron_server.database.transactions import Connection, Database
from novacron_server.images.service import Images
from novacron_server.inventory.inventory import Inventory
from novacron_server.operations.context import OperationContext
from novacron_server.operations.repository import Stored
from novacron_server.operations.request import OperationRequest
from novacron_server.operations.runner import Operations
from novacron_server.outbox.group_commit import GroupCommit
from novacron_server.outbox.records import EventDraft
from novacron_server.pools.managed import ManagedPools
from novacron_server.vms import creation, power, repository
from novacron_server.vms.removal import WHOLE, VMRemoval
from novacron_server.volumes.placement import check_room, choose_pool_for_vm


class VMs:
    """The service of the noun."""

    def __init__(
        self,
        database: Database,
        group_commit: GroupCommit,
        inventory: Inventory,
        operations: Operations,
        images: Images,
        managed_pools: ManagedPools,
    ) -> None:
        self._inventory = inventory
        self._operations = operations
        self._images = images
        self._managed_pools = managed_pools
        self._vm_removal = VMRemoval(database, group_commit, inventory)
        operations.undo_with("vm.create", self._vm_removal.undo_creation)
        operations.finish_with("vm.create", self._finish_creation)
        operations.undo_with("vm.delete", self._vm_removal.undo_deletion)
        operations.finish_with("vm.delete", self._finish_deletion)

    def list(self, principal: Principal, q: str = "") -> Iterator[VM]:
        """Those that a filter finds. Raises ValidationFailed when the filter is not understood."""
        return self._inventory.matching(principal, q)

    def get(self, principal: Principal, vm_id: str) -> VM:
        """Raises NotFound."""
        return self._inventory.vm(principal, vm_id)

    async def create(self, principal: Principal, body: VMCreate, key: str) -> Operation:
        """Raises ValidationFailed, Conflict (name taken, no room), NotFound (image, host), HostUnavailable."""
        words: dict[str, Any] = msgspec.to_builtins(body)
        try:
            plan = await self._plan(principal, body)
        except errors.NovaCronError:
            # Asked again, its own name is taken: that is no error. Looking first would cost each request a question.
            if before := await self._operations.repeated(principal, key, "vm.create", words):
                return before
            raise

        try:
            return await self._start_creation(principal, plan, words, key)
        except repository.NameTaken as taken:  # between our look and the row
            if may_see(principal, taken.tenant):
                raise
            plan = dataclasses.replace(plan, name=_with_a_tail(plan.name))
            return await self._start_creation(principal, plan, words, key)

    async def _start_creation(
        self, principal: Principal, plan: creation.CreationPlan, words: dict[str, Any], key: str
    ) -> Operation:
        async def rows(connection: Connection, operation: Operation) -> list[EventDraft]:
            return await creation.write_rows(connection, plan)

        async def work(run: OperationContext) -> None:
            await creation.make(run, plan, self._inventory)

        request = OperationRequest(
            kind="vm.create",
            target=Target(type="vm", id=plan.vm_id, name=plan.name),
            host_id=plan.host.host_id,
            tenant=principal.tenant,
            principal=principal,
            body=words,
            idempotency_key=key,
            may_cancel=True,
        )
        return await self._operations.start(request, work, rows)

    async def _finish_creation(self, stored: Stored, run: OperationContext) -> str:
        """After a crash: the VM was promised, with its id and its rows, so make it; every step can be done twice."""
        host_id, vm_id = stored.host_id or "", stored.operation.target.id
        row = self._inventory.state.rows.get((host_id, vm_id))
        facts = await self._inventory.host(host_id).read_domain(vm_id)
        if row is None or facts is not None:
            return await self._vm_removal.undo_creation(stored)
        body = msgspec.structs.replace(msgspec.convert(stored.request, VMCreate), host=host_id, name=row.name)
        owner = Principal("", row.owner, Role.OPERATOR, row.tenant, "", row.created_at)
        try:
            plan = await self._plan(owner, body, again=vm_id)
            await self._vm_removal.delete_made(plan.host, stored)  # half an image is no disk, and has another size
            await creation.make(run, plan, self._inventory)
            await run.write_ahead(**{WHOLE: True})
        except (errors.HostUnavailable, errors.DatabaseUnavailable):
            raise  # it is settled later
        except errors.NovaCronError as e:
            return f"it could not be finished ({e.detail}), and {await self._vm_removal.undo_creation(stored)}"
        return "the VM was made afterwards"

    async def _finish_deletion(self, stored: Stored, _run: OperationContext) -> str:
        return await self._vm_removal.delete_again(stored)

    async def _plan(self, principal: Principal, body: VMCreate, *, again: str = "") -> creation.CreationPlan:
        """`again`: the id of the VM that a cut-off creation has chosen, with its name."""
        host = self._inventory.require_host_up(body.host)
        image = await self._images.get(body.image)
        disk_bytes, network = creation.check(body, host, image)
        own_pool = self._managed_pools.pool(host, body.tier)
        plan = creation.CreationPlan(
            vm_id=again or str(uuid4()),
            name=body.name if again else self._free_name(principal, host.host_id, body.name),
            body=body,
            host=host,
            image=image,
            pool=self._promised_pool(again)
            or choose_pool_for_vm(self._inventory, host.host_id, body.tier, own_pool.name),
            own_pool=own_pool,
            instance=str(self._managed_pools.instance),
            disk_bytes=disk_bytes,
            network=network,
            principal=principal,
        )
        pool = self._inventory.state.storage.pools_on(host.host_id).get(plan.pool)
        if pool is not None and not again and not host.simulated:
            check_room(pool, sum(plan.copied_bytes.values()), plan.name)
        return plan

    def _promised_pool(self, vm_id: str) -> str:
        """Where the disks of a VM that was promised go; its rows say it."""
        rows = self._inventory.state.storage.volume_rows.values()
        return next((row.pool for row in rows if vm_id and row.vm_id == vm_id), "")

    def _free_name(self, principal: Principal, host_id: str, name: str) -> str:
        """The name, or with a tail when somebody holds it whom this principal must not know of."""
        for vm in self._inventory.state.vms():
            if vm.host == host_id and vm.name == name:
                if may_see(principal, vm.tenant):
                    raise errors.Conflict(f"there is a VM named {name} already")
                return _with_a_tail(name)
        return name

    async def delete(
        self, principal: Principal, vm_id: str, *, disks: bool, if_match: int | None, key: str
    ) -> Operation:
        """Raises PreconditionRequired, PreconditionFailed, Conflict with the reason it cannot go now."""
        words = {"vm": vm_id, "disks": disks}
        try:
            vm = self.get(principal, vm_id)
            _check_generation(vm, if_match)
        except errors.NovaCronError:
            # When it was done, the VM is gone, and asking again is still no error.
            if before := await self._operations.repeated(principal, key, "vm.delete", words):
                return before
            raise

        async def work(run: OperationContext) -> None:
            await self._vm_removal.delete(run, vm.host, vm_id, disks=disks)

        return await self._start(principal, vm, VMAction.DELETE, words, key, work)

    async def power(
        self, principal: Principal, vm_id: str, action: VMAction, *, force_after_s: int | None = None, key: str = ""
    ) -> Operation:
        """Start, stop, power off … Raises Conflict with the reason it cannot be done now."""
        vm = self.get(principal, vm_id)

        async def work(run: OperationContext) -> None:
            await power.carry_out(run, self._inventory, vm.host, action, force_after_s)

        return await self._start(principal, vm, action, {"vm": vm_id, "force_after_s": force_after_s}, key, work)

    async def _start(
        self,
        principal: Principal,
        vm: VM,
        action: VMAction,
        words: dict[str, Any],
        key: str,
        work: Callable[[OperationContext], Awaitable[None]],
    ) -> Operation:
        kind = f"vm.{action}"
        try:
            self._inventory.require_host_up(vm.host)
            if refused := why_not_vm(action, vm):
                raise errors.Conflict(refused)
        except errors.NovaCronError:
            if before := await self._operations.repeated(principal, key, kind, words):
                return before
            raise
        request = OperationRequest(
            kind=kind,
            target=Target(type="vm", id=vm.id, name=vm.name),
            host_id=vm.host,
            tenant=vm.tenant,
            principal=principal,
            body=words,
            idempotency_key=key,
            supersedes=SUPERSEDES.get(action, frozenset()),
            may_cancel=action is VMAction.STOP,
        )
        return await self._operations.start(request, work)


def _with_a_tail(name: str) -> str:
    """For a name that somebody holds of whom who asks must not know."""
    return f"{name[:58]}-{token_hex(2)}"


def _check_generation(vm: VM, if_match: int | None) -> None:
    if if_match is None:
        raise errors.PreconditionRequired("say which generation you mean to delete: If-Match")
    if if_match != vm.generation:
        raise errors.PreconditionFailed(f"{vm.name} was changed: generation {vm.generation}, not {if_match}")
