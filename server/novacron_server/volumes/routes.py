"""The HTTP routes of volumes."""

from __future__ import annotations

from novacron_core.api import volumes as api
from novacron_core.api.base import ListQuery, Nothing, Page
from novacron_core.api.operations import Operation
from novacron_server.http.call import Call, Served, serve
from novacron_server.http.paging import page_of
from novacron_server.volumes.past_moves import PastMoves
from novacron_server.volumes.service import Volumes


def routes(volumes: Volumes, past_moves: PastMoves) -> list[Served]:
    @serve(api.LIST)
    async def list_volumes(call: Call[ListQuery, Nothing]) -> Page[api.Volume]:
        return page_of(volumes.list(call.principal, call.query.q), call.query)

    @serve(api.GET)
    async def get(call: Call[Nothing, Nothing]) -> api.Volume:
        return volumes.get(call.principal, call.path["volume_id"])

    @serve(api.DELETION)
    async def deletion(call: Call[Nothing, Nothing]) -> api.DeletionPreview:
        return volumes.deletion(call.principal, call.path["volume_id"])

    @serve(api.CREATE)
    async def create(call: Call[Nothing, api.VolumeCreate]) -> Operation:
        return await volumes.create(call.principal, call.body, call.idempotency_key)

    @serve(api.RESIZE)
    async def resize(call: Call[Nothing, api.VolumeResize]) -> Operation:
        return await volumes.resize(call.principal, call.path["volume_id"], call.body, call.idempotency_key)

    @serve(api.CLONE)
    async def clone(call: Call[Nothing, api.VolumeClone]) -> Operation:
        return await volumes.clone(call.principal, call.path["volume_id"], call.body, call.idempotency_key)

    @serve(api.ATTACH)
    async def attach(call: Call[Nothing, api.VolumeAttach]) -> Operation:
        return await volumes.attach(call.principal, call.path["volume_id"], call.body, call.idempotency_key)

    @serve(api.DETACH)
    async def detach(call: Call[Nothing, Nothing]) -> Operation:
        return await volumes.detach(call.principal, call.path["volume_id"], call.idempotency_key)

    @serve(api.DELETE)
    async def delete(call: Call[Nothing, Nothing]) -> Operation:
        return await volumes.delete(call.principal, call.path["volume_id"], call.idempotency_key)

    @serve(api.MOVES)
    async def moves(call: Call[Nothing, Nothing]) -> api.MoveHistory:
        return await past_moves.of_volume(call.principal, call.path["volume_id"])

    @serve(api.MOVE)
    async def move(call: Call[Nothing, api.VolumeMove]) -> Operation:
        return await volumes.move(call.principal, call.path["volume_id"], call.body, call.idempotency_key)

    return [list_volumes, get, deletion, create, resize, clone, attach, detach, delete, move, moves]
