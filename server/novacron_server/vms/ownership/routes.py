"""The HTTP routes that change whose a VM or a volume is."""

from __future__ import annotations

from novacron_core.api import vms, volumes
from novacron_core.api.base import Nothing
from novacron_core.api.operations import Operation
from novacron_core.api.ownership import Adopt, HandOver
from novacron_server.http.call import Call, Served, serve
from novacron_server.vms.ownership.service import Ownership


def routes(ownership: Ownership) -> list[Served]:
    @serve(vms.HAND_OVER)
    async def hand_over_vm(call: Call[Nothing, HandOver]) -> Operation:
        return await ownership.hand_over_vm(call.principal, call.path["vm_id"], call.body, call.idempotency_key)

    @serve(vms.ADOPT)
    async def adopt(call: Call[Nothing, Adopt]) -> Operation:
        return await ownership.adopt(call.principal, call.path["vm_id"], call.body, call.idempotency_key)

    @serve(vms.RELEASE)
    async def release(call: Call[Nothing, Nothing]) -> Operation:
        return await ownership.release(call.principal, call.path["vm_id"], call.idempotency_key)

    @serve(volumes.HAND_OVER)
    async def hand_over_volume(call: Call[Nothing, HandOver]) -> Operation:
        return await ownership.hand_over_volume(call.principal, call.path["volume_id"], call.body, call.idempotency_key)

    return [hand_over_vm, adopt, release, hand_over_volume]
