"""The verb that moves a volume to a tier: who may, whether it can be, and the promise."""

from __future__ import annotations

from novacron_core.api.operations import Operation
from novacron_core.api.pools import Pool
from novacron_core.api.volumes import Volume, VolumeMove
from novacron_core.rules.visibility import Principal
from novacron_core.rules.volume_actions import VolumeAction
from novacron_server.database.transactions import Database
from novacron_server.hypervisor.facts import VolumeFacts
from novacron_server.inventory.inventory import Inventory
from novacron_server.inventory.rows import VolumeRow
from novacron_server.operations.runner import Operations, Work
from novacron_server.outbox.group_commit import GroupCommit
from novacron_server.volumes.changes import VolumeChanges
from novacron_server.volumes.leftover_copies import LeftoverCopies
from novacron_server.volumes.moves import Move, VolumeMoves, why_not_move
from novacron_server.volumes.placement import check_room, pool_for, vacant


class MoveService:
    """The service of moves."""

    def __init__(
        self,
        database: Database,
        group_commit: GroupCommit,
        inventory: Inventory,
        operations: Operations,
        leftovers: LeftoverCopies,
    ) -> None:
        self._inventory = inventory
        self._changing = VolumeChanges(inventory, operations)
        self._moving = VolumeMoves(database, group_commit, inventory, leftovers)
        operations.undo_with("volume.move", self._moving.undo)
        operations.finish_with("volume.move", self._moving.finish)

    async def move(self, principal: Principal, volume_id: str, body: VolumeMove, key: str) -> Operation:
        """Raises Conflict with the reason it cannot be moved now, Unsupported, HostUnavailable."""
        moves: list[Move] = []
        gone: list[VolumeRow | None] = []

        async def check(volume: Volume) -> None:
            pool = pool_for(self._inventory, volume.host, body.tier, but_not=volume.pool)
            gone.append(await vacant(self._inventory, principal, pool, volume.name))
            moves.append(self._plan(pool, volume, body))

        def work_on(volume: Volume, facts: VolumeFacts) -> Work:
            host = self._inventory.host(volume.host)
            return lambda run: self._moving.move(run, host, moves[0], facts)

        return await self._changing.on(
            VolumeAction.MOVE,
            principal,
            volume_id,
            body,
            key,
            work_on,
            check=check,
            why_not=why_not_move,
            tier=body.tier,
            may_cancel=True,
            gone=gone,
        )

    def _plan(self, pool: Pool, volume: Volume, body: VolumeMove) -> Move:
        storage = self._inventory.state.storage
        check_room(pool, volume.allocated_bytes, volume.name)
        facts = storage.facts(volume)
        return Move(
            volume_id=volume.id,
            name=volume.name,
            from_pool=volume.pool,
            from_path=facts.path if facts else "",
            to_pool=pool.name,
            to_path=f"{pool.path}/{volume.name}",
            tier=body.tier,
            from_tier=volume.tier,
            vm_id=volume.vm,
            bandwidth_bytes_s=body.bandwidth_bytes_s or 0,
        )
