"""Acknowledges the crash of a VM that is off: from then on it is shown as stopped."""

from __future__ import annotations

from novacron_core import errors
from novacron_core.values.operation_kinds import OperationKind
from novacron_server.operations.context import CompletedAnyway, OperationContext
from novacron_server.operations.failpoints import failpoint
from novacron_server.operations.journal import Steps
from novacron_server.operations.procedures import Procedure
from novacron_server.vms.crashes import Crashes


class AcknowledgeSteps(Steps, frozen=True):
    """Empty: it is one change of a row, which happened or did not."""


class AcknowledgeCrash(Procedure[AcknowledgeSteps]):
    """Marks the row of the crash. A crash that happens afterwards is a new one."""

    kind = OperationKind.VM_ACKNOWLEDGE
    steps = AcknowledgeSteps
    failpoints = ("vm.acknowledge:began", "vm.acknowledge:done")

    def __init__(self, crashes: Crashes) -> None:
        self._crashes = crashes

    async def run(self, context: OperationContext[AcknowledgeSteps]) -> None:
        """Raises Conflict when the VM is not crashed any more, HostUnavailable."""
        await failpoint("vm.acknowledge:began")
        await self._acknowledge(context)
        await failpoint("vm.acknowledge:done")

    async def _acknowledge(self, context: OperationContext[AcknowledgeSteps]) -> None:
        await self._crashes.acknowledge(context.host_id, context.target_id, context.operation.actor)

    async def resume(self, context: OperationContext[AcknowledgeSteps]) -> str:
        """Acknowledge it again: the first acknowledgement counts."""
        try:
            await self._acknowledge(context)
        except errors.Conflict as e:
            return e.detail
        return CompletedAnyway("the crash is acknowledged")
