"""The moves of a volume between tiers, from the operations that are kept."""

from __future__ import annotations

from novacron_core.api.nouns import OPERATIONS
from novacron_core.api.operations import OperationState
from novacron_core.api.volumes import MoveHistory, PastMove
from novacron_core.rules.visibility import Principal, readable_operation
from novacron_core.values.operation_kinds import OperationKind
from novacron_server.database.transactions import Connection, Database
from novacron_server.inventory.inventory import Inventory
from novacron_server.inventory.subjects import sees
from novacron_server.operations import journal, repository
from novacron_server.operations.journal import Journal
from novacron_server.operations.repository import StoredOperation
from novacron_server.volumes.procedures.move import Move, MoveSteps

_MOST = 50


class PastMoves:
    """One per server."""

    def __init__(self, database: Database, inventory: Inventory) -> None:
        self._database, self._inventory = database, inventory

    async def of_volume(self, principal: Principal, volume_id: str) -> MoveHistory:
        """The newest moves of a volume, of those in its tenant that the principal sees. Raises NotFound,
        DatabaseUnavailable, and RateLimited while many others search."""
        volume, state = self._inventory.volume(principal, volume_id), self._inventory.state

        async def read(connection: Connection) -> list[StoredOperation]:
            kind = OperationKind.VOLUME_MOVE
            return await repository.with_step(connection, kind, volume.tenant, ("move", "volume_id"), volume_id, _MOST)

        async with self._database.search(principal):
            found = journal.read_all(await self._database.run(read, read_only=True), MoveSteps)
        seen = (
            each for each in found if sees(principal, state, OPERATIONS.type, each.operation.tenant, each.operation)
        )
        return MoveHistory(
            moves=[_past(principal, each, each.steps.move) for each in seen if each.steps.move is not None]
        )


def _past(principal: Principal, entry: Journal[MoveSteps], move: Move) -> PastMove:
    operation = readable_operation(principal, entry.operation)
    return PastMove(
        operation=operation.id,
        source=move.from_tier,
        target=move.tier,
        state=operation.state,
        moved=operation.state is OperationState.SUCCEEDED or operation.completed,
        actor=operation.actor,
        started_at=operation.started_at or operation.created_at,
        finished_at=operation.finished_at,
        reason=operation.problem.sentence if operation.problem else "",
    )
