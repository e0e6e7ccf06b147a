"""Hand a volume over to another owner or tenant. The row is written when the operation is accepted."""

from __future__ import annotations

from novacron_core.values.operation_kinds import OperationKind
from novacron_server.inventory.inventory import Inventory
from novacron_server.operations.context import CompletedAnyway, OperationContext
from novacron_server.operations.failpoints import failpoint
from novacron_server.operations.journal import Steps
from novacron_server.operations.procedures import Procedure


class HandOverVolumeSteps(Steps, frozen=True):
    """Empty: the row was written when the operation was accepted."""


class HandOverVolume(Procedure[HandOverVolumeSteps]):
    kind = OperationKind.VOLUME_HAND_OVER
    steps = HandOverVolumeSteps
    failpoints = ("volume.hand-over:began", "volume.hand-over:shown")

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory

    async def run(self, context: OperationContext[HandOverVolumeSteps]) -> None:
        """Wait until the volume is shown as its new owner's."""
        await failpoint("volume.hand-over:began")
        await self._inventory.barrier(context.accepted_seq)
        await failpoint("volume.hand-over:shown")

    async def resume(self, context: OperationContext[HandOverVolumeSteps]) -> str:
        return CompletedAnyway("the volume was handed over")
