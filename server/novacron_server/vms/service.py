"""Checks and submits changes of VMs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any
from uuid import uuid4

import msgspec

from novacron_core import errors
from novacron_core.api.operations import Operation, Target
from novacron_core.api.vms import VM, Crash, VMCreate
from novacron_core.rules.visibility import Principal, may_see, may_see_vm
from novacron_core.rules.vm_actions import VMAction, why_not_vm
from novacron_core.values.names import TENANT_SIGN, name_in_tenant
from novacron_core.values.operation_kinds import OperationKind
from novacron_core.values.roles import Role
from novacron_server.inventory.crashes import current_crash, new_crash
from novacron_server.inventory.inventory import Inventory
from novacron_server.operations.journal import Steps
from novacron_server.operations.runner import Operations
from novacron_server.operations.submission import Rows, Submission
from novacron_server.outbox.group_commit import GroupCommit
from novacron_server.vms import repository
from novacron_server.vms.creation_plan import Planner
from novacron_server.vms.procedures.acknowledge import AcknowledgeSteps
from novacron_server.vms.procedures.create import CreateSteps, initial_steps, write_rows
from novacron_server.vms.procedures.delete import DeleteSteps
from novacron_server.vms.procedures.power import PowerSteps
from novacron_server.vms.rows import follow_names


@dataclass(frozen=True, slots=True)
class BulkChild:
    """That a change is part of the bulk with this id; `rows` writes so, in the transaction that accepts it."""

    id: str
    rows: Rows


class VMs:
    """The service for VMs. Every method checks what the principal may see."""

    def __init__(
        self, inventory: Inventory, operations: Operations, planner: Planner, group_commit: GroupCommit
    ) -> None:
        self._inventory = inventory
        self._group_commit = group_commit
        self._operations = operations
        self._planner = planner

    def list(self, principal: Principal, q: str = "") -> Iterator[VM]:
        """The VMs that match the filter `q`. Raises ValidationFailed when it is invalid."""
        return self._inventory.matching(principal, q)

    def get(self, principal: Principal, vm_id: str) -> VM:
        """Raises NotFound."""
        return self._inventory.vm(principal, vm_id)

    async def create(self, principal: Principal, body: VMCreate, key: str) -> Operation:
        """Raises ValidationFailed, Conflict (name taken, no room), NotFound (image, host), HostUnavailable."""
        request: dict[str, Any] = msgspec.to_builtins(body)
        needs_suffix = False

        async def decide() -> Submission[CreateSteps]:
            host = self._inventory.require_host_up(body.host)
            name = name_in_tenant(body.name, principal.tenant)
            name = _with_suffix(name) if needs_suffix else self._free_name(principal, host.host_id, name)
            plan = await self._planner.plan(str(uuid4()), name, host, body)
            return Submission(
                target=Target(type="vm", id=plan.vm_id, name=plan.name),
                host_id=host.host_id,
                tenant=principal.tenant,
                steps=initial_steps(plan),
                rows=lambda connection, operation: write_rows(connection, operation, plan, principal),
            )

        try:
            return await self._operations.submit(OperationKind.VM_CREATE, principal, key, request, decide)
        except repository.NameTaken as taken:
            # Another request took the name after the check, or a VM of this name was renamed outside NovaCron, which
            # frees the name, also before the reconciler sees it.
            if not await follow_names(self._group_commit, self._inventory.state, taken.host_id):
                if may_see(principal, taken.tenant) and not principal.vm_filter:
                    raise
                needs_suffix = True
            return await self._operations.submit(OperationKind.VM_CREATE, principal, key, request, decide)

    def _free_name(self, principal: Principal, host_id: str, name: str) -> str:
        """The name, or one with a suffix if a VM that the principal may not see has it. Raises Conflict."""
        for vm in self._inventory.state.vms():
            if vm.host == host_id and vm.name == name:
                if may_see_vm(principal, vm):
                    raise errors.Conflict(f"a VM named {name} already exists")
                return _with_suffix(name)
        return name

    async def delete(
        self,
        principal: Principal,
        vm_id: str,
        *,
        disks: bool,
        if_match: int | None,
        key: str,
        bulk: BulkChild | None = None,
    ) -> Operation:
        """Raises PreconditionRequired, PreconditionFailed, Conflict with the reason it cannot be deleted now."""
        request = {"vm": vm_id, "disks": disks}
        return await self._submit(principal, vm_id, VMAction.DELETE, request, key, DeleteSteps(), if_match, bulk)

    async def power(
        self,
        principal: Principal,
        vm_id: str,
        action: VMAction,
        *,
        force_after_s: int | None = None,
        key: str = "",
        bulk: BulkChild | None = None,
    ) -> Operation:
        """Start, stop, power off … Raises Conflict with the reason it cannot be done now."""
        request = {"vm": vm_id, "force_after_s": force_after_s}
        return await self._submit(principal, vm_id, action, request, key, PowerSteps(), None, bulk)

    async def crash(self, principal: Principal, vm_id: str) -> Crash:
        """When and why a VM crashed. Raises NotFound, also for a VM that has run since."""
        vm = self.get(principal, vm_id)
        state, key = self._inventory.state, (vm.host, vm.id)
        known, row = state.domain(key), state.crashes.get(key)
        if known is not None:  # a crash that is not stored yet, or none that is still about the VM
            now = datetime.now(UTC)
            row = new_crash(vm.host, known.facts, known.state_since, row, now) or current_crash(
                known.facts, known.state_since, row
            )
        if row is None:
            raise errors.NotFound(f"{vm.name} has not crashed since it was started last")
        log: list[str] = []
        note = "only administrators see QEMU's log: it names files of the host"
        if principal.role is Role.ADMINISTRATOR:
            log, note = await self._inventory.host(vm.host).read_qemu_log(vm.name)
        return Crash(
            reason=row.reason,
            found_at=row.found_at,
            at=row.at,
            acknowledged_at=row.acknowledged_at,
            acknowledged_by=row.acknowledged_by,
            log=log,
            log_note=note,
        )

    async def acknowledge(
        self, principal: Principal, vm_id: str, key: str = "", *, bulk: BulkChild | None = None
    ) -> Operation:
        """Acknowledge a crash. Raises Conflict with the reason it cannot be done now."""
        request = {"vm": vm_id}
        return await self._submit(principal, vm_id, VMAction.ACKNOWLEDGE, request, key, AcknowledgeSteps(), None, bulk)

    async def _submit(
        self,
        principal: Principal,
        vm_id: str,
        action: VMAction,
        request: dict[str, Any],
        key: str,
        steps: Steps,
        if_match: int | None,
        bulk: BulkChild | None,
    ) -> Operation:
        async def decide() -> Submission[Steps]:
            vm = self.get(principal, vm_id)
            if action is VMAction.DELETE:
                _check_generation(vm, if_match)
            self._inventory.require_host_up(vm.host)
            if refused := why_not_vm(action, vm, self._inventory.state.operation_on(vm)):
                raise errors.Conflict(refused)
            target = Target(type="vm", id=vm.id, name=vm.name)
            rows = bulk.rows if bulk else None
            return Submission(target=target, host_id=vm.host, tenant=vm.tenant, steps=steps, rows=rows)

        kind, parent = OperationKind(f"vm.{action}"), bulk.id if bulk else None
        return await self._operations.submit(kind, principal, key, request, decide, parent=parent)


def _with_suffix(name: str) -> str:
    """Avoid a name that a VM has which the caller does not see, without revealing that VM."""
    tenant, sign, own = name.rpartition(TENANT_SIGN)
    return f"{tenant}{sign}{own[:58]}-{token_hex(2)}"


def _check_generation(vm: VM, if_match: int | None) -> None:
    if if_match is None:
        raise errors.PreconditionRequired("send If-Match with the generation to delete")
    if if_match != vm.generation:
        raise errors.PreconditionFailed(f"{vm.name} has changed: its generation is {vm.generation}, not {if_match}")
