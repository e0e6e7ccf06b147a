"""Requests that tests of a whole server share: create a small VM, wait for an operation, pools or a sample."""

from __future__ import annotations

from typing import Any

from novacron_core.api import pools, usage, vms
from novacron_core.api.operations import Operation, OperationState
from novacron_core.api.pools import Pool
from novacron_core.api.vms import VM, VMCreate
from tests.support.server import LiveServer
from tests.support.waiting import until


def vm_request(name: str = "web-01", **more: Any) -> VMCreate:
    fields: dict[str, Any] = {"name": name, "image": "empty", "memory_bytes": 32 << 20, **more}
    return VMCreate(**fields)


async def create_vm(server: LiveServer, name: str = "web-01", **more: Any) -> VM:
    operation = await server.admin.call(vms.CREATE, body=vm_request(name, **more))
    ended = await server.ended(operation)
    assert ended.state is OperationState.SUCCEEDED, ended.problem
    return await server.vm(name)


async def succeeded(server: LiveServer, operation: Operation) -> Operation:
    ended = await server.ended(operation)
    assert ended.state is OperationState.SUCCEEDED, ended.problem
    return ended


async def pools_named(server: LiveServer) -> dict[str, Pool]:
    return {pool.name: pool for pool in (await server.admin.call(pools.LIST)).items}


async def three_pools(server: LiveServer) -> dict[str, Pool]:
    async def find_pools() -> dict[str, Pool] | None:
        found = await pools_named(server)
        return found if {pool.tier for pool in found.values()} >= {"hot", "warm", "cold"} else None

    return await until(find_pools)


async def sampled(server: LiveServer) -> usage.VMUsage:
    """Wait for the first sample, and return it."""

    async def read_sample() -> usage.VMUsage | None:
        page = await server.admin.call(usage.TOP)
        return page.items[0] if page.items else None

    return await until(read_sample)
