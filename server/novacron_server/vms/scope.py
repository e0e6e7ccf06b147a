"""What an API token that is limited to some VMs may do, decided in the transaction that accepts it: by the VM as its row is
then. A change never takes a VM into the token's filter or out of it."""

from __future__ import annotations

from novacron_core import errors
from novacron_core.api.operations import Operation, Target
from novacron_core.rules.filters.vms import Scoped
from novacron_core.rules.visibility import Principal, in_scope
from novacron_core.values.operation_kinds import OperationKind
from novacron_server.database.transactions import Connection
from novacron_server.inventory.state import InventoryState
from novacron_server.inventory.subjects import target_subject
from novacron_server.operations.submission import OperationRequest
from novacron_server.vms import repository

_WITHOUT_VM = (OperationKind.VOLUME_CREATE, OperationKind.VOLUME_CLONE, OperationKind.VOLUME_DETACH)
"""What leaves a volume that is no disk of any VM: the token could not see it."""
_NEW_VALUES = (OperationKind.VM_CREATE, OperationKind.VM_HAND_OVER, OperationKind.VM_ADOPT, OperationKind.VM_RELEASE)
"""What decides itself what the filter reads."""


class ScopeAdmission:
    """See Admission."""

    def __init__(self, state: InventoryState) -> None:
        self._state = state

    def check_kind(self, principal: Principal, kind: str) -> None:
        """Raises Forbidden for what leaves a volume without a VM."""
        if kind in _WITHOUT_VM:
            raise errors.Forbidden(f"{_limit(principal)}: it cannot make a volume that is no disk of one")

    async def check(
        self, connection: Connection, request: OperationRequest, operation: Operation, host_id: str | None
    ) -> None:
        """Raises Forbidden, NotFound."""
        principal, target = request.principal, operation.target
        if request.kind == OperationKind.VM_BULK:
            return  # each of its operations is admitted by itself
        vm = await _as_it_is(connection, self._state, target, host_id)
        if _admits(principal, vm) and request.kind != OperationKind.VM_RELEASE:  # which takes its tags and owner away
            return
        if request.kind in _NEW_VALUES:
            raise errors.Forbidden(f"{_limit(principal)}: {target.name} would not match")
        raise errors.NotFound(f"{'VM' if target.type == 'vm' else target.type} not found")


def _limit(principal: Principal) -> str:
    return f"this API token is limited to VMs that match {principal.vm_filter}"


def _admits(principal: Principal, vm: Scoped | None) -> bool:
    return vm is not None and in_scope(principal, vm)


async def _as_it_is(
    connection: Connection, state: InventoryState, target: Target, host_id: str | None
) -> Scoped | None:
    """The VM of a target: its row, which nobody changes before this transaction ends, or what was read of a VM without."""
    subject = target_subject(state, target)
    vm_id = target.id if target.type == "vm" else subject.id if subject else ""
    row = await repository.get(connection, host_id, vm_id, shared_lock=True) if host_id and vm_id else None
    return row or subject
