"""The HTTP routes of VMs."""

from __future__ import annotations

from typing import Any

from novacron_core.api import vms as api
from novacron_core.api.base import Nothing, Page
from novacron_core.api.endpoint import Endpoint
from novacron_core.api.operations import Operation
from novacron_core.rules.vm_actions import VMAction
from novacron_server.http.call import Call, Served, serve
from novacron_server.http.paging import page_of
from novacron_server.vms.service import VMs


def routes(vms: VMs) -> list[Served]:
    @serve(api.LIST)
    async def list_vms(call: Call[api.VMQuery, Nothing]) -> Page[api.VM]:
        query = call.query
        found = vms.list(call.principal, query.q)
        if query.state is not None:
            found = (vm for vm in found if vm.state is query.state)
        if query.host:
            found = (vm for vm in found if vm.host == query.host)
        return page_of(found, query)

    @serve(api.CREATE)
    async def create(call: Call[Nothing, api.VMCreate]) -> Operation:
        return await vms.create(call.principal, call.body, call.idempotency_key)

    @serve(api.GET)
    async def get(call: Call[Nothing, Nothing]) -> api.VM:
        return vms.get(call.principal, call.path["vm_id"])

    @serve(api.DELETE)
    async def delete(call: Call[api.DeleteQuery, Nothing]) -> Operation:
        return await vms.delete(
            call.principal,
            call.path["vm_id"],
            disks=call.query.disks,
            if_match=call.if_match,
            key=call.idempotency_key,
        )

    @serve(api.STOP)
    async def stop(call: Call[api.StopQuery, Nothing]) -> Operation:
        return await vms.power(
            call.principal,
            call.path["vm_id"],
            VMAction.STOP,
            force_after_s=call.query.force_after_s,
            key=call.idempotency_key,
        )

    @serve(api.CRASH)
    async def crash(call: Call[Nothing, Nothing]) -> api.Crash:
        return await vms.crash(call.principal, call.path["vm_id"])

    @serve(api.ACKNOWLEDGE)
    async def acknowledge(call: Call[Nothing, Nothing]) -> Operation:
        return await vms.acknowledge(call.principal, call.path["vm_id"], call.idempotency_key)

    verbs = [_verb(vms, endpoint, action) for endpoint, action in _VERBS]
    return [list_vms, create, get, delete, stop, crash, acknowledge, *verbs]


_VERBS: list[tuple[Endpoint[Operation, Nothing, Nothing], VMAction]] = [
    (api.START, VMAction.START),
    (api.RESTART, VMAction.RESTART),
    (api.RESET, VMAction.RESET),
    (api.POWER_OFF, VMAction.POWER_OFF),
    (api.PAUSE, VMAction.PAUSE),
    (api.RESUME, VMAction.RESUME),
    (api.DISCARD_SAVED, VMAction.DISCARD_SAVED),
]


def _verb(vms: VMs, endpoint: Endpoint[Operation, Nothing, Nothing], action: VMAction) -> Served:
    @serve(endpoint)
    async def verb(call: Call[Any, Any]) -> Operation:
        return await vms.power(call.principal, call.path["vm_id"], action, key=call.idempotency_key)

    return verb
