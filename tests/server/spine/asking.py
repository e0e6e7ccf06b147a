"""What a test of the whole server asks for all the time: a small VM, and an operation that must succeed."""

from __future__ import annotations

from novacron_core.api import vms
from novacron_core.api.operations import Operation, OperationState
from novacron_core.api.vms import VM, VMCreate


def make(name: str = "web-01", **more: object) -> VMCreate:
    return VMCreate(**{"name": name, "image": "empty", "memory_bytes": 32 << 20, **more})


async def created(spine, name: str = "web-01", **more: object) -> VM:
    operation = await spine.admin.call(vms.CREATE, body=make(name, **more))
    ended = await spine.ended(operation)
    assert ended.state is OperationState.SUCCEEDED, ended.problem
    return await spine.vm(name)


async def done(spine, operation: Operation) -> Operation:
    ended = await spine.ended(operation)
    assert ended.state is OperationState.SUCCEEDED, ended.problem
    return ended
