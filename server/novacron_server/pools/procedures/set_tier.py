"""Assign a pool to a tier, or remove it from one. The row is written when the operation is accepted."""

from __future__ import annotations

from novacron_core.values.operation_kinds import OperationKind
from novacron_server.inventory.inventory import Inventory
from novacron_server.operations.context import OperationContext
from novacron_server.operations.failpoints import failpoint
from novacron_server.operations.journal import Steps
from novacron_server.operations.procedures import Procedure


class SetTierSteps(Steps, frozen=True):
    """Empty: the row was written when the operation was accepted."""


class SetTier(Procedure[SetTierSteps]):
    kind = OperationKind.POOL_SET_TIER
    steps = SetTierSteps
    failpoints = ("pool.set-tier:began", "pool.set-tier:read")

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory

    async def run(self, context: OperationContext[SetTierSteps]) -> None:
        """Read the host's storage again, so that its volumes are shown in the tier."""
        await failpoint("pool.set-tier:began")
        await self._inventory.barrier(context.accepted_seq)  # an earlier read would use the old row
        await self._inventory.refresh_volumes(context.host_id)
        await failpoint("pool.set-tier:read")

    async def resume(self, context: OperationContext[SetTierSteps]) -> str:
        await self._inventory.refresh_volumes(context.host_id)
        return "the pool's tier was set, and its volumes were read again"
