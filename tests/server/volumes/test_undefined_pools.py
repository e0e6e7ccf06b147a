"""A deletion whose pool is not defined any more is refused: the file would stay and belong to nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import libvirt
import pytest
import pytest_asyncio

from novacron_core import errors
from novacron_core.api import vms, volumes
from novacron_core.api.operations import Operation, OperationState
from novacron_core.api.volumes import VolumeCreate
from novacron_server.pools.upkeep import ManagedPoolUpkeep
from novacron_server.volumes.copy import CopyRecord, discard
from novacron_server.volumes.procedures import delete
from tests.support.requests import three_pools
from tests.support.server import LiveServer

MIB = 1 << 20


@pytest_asyncio.fixture
async def pool(
    server: LiveServer, libvirt_connection: libvirt.virConnect, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[libvirt.virStoragePool]:
    """The tier hot's pool, which is not made anew."""
    found = next(pool for pool in (await three_pools(server)).values() if pool.tier == "hot")
    monkeypatch.setattr(ManagedPoolUpkeep, "_missing", lambda *_: [])
    yield libvirt_connection.storagePoolLookupByName(found.name)


def undefine(pool: libvirt.virStoragePool) -> None:
    pool.destroy()
    pool.undefine()


async def ended(server: LiveServer, operation: Operation) -> Operation:
    return await server.ended(operation)


async def test_vm_is_kept_while_the_pool_of_its_disk_is_not_defined(
    server: LiveServer, pool: libvirt.virStoragePool, image: str
) -> None:
    body = vms.VMCreate(name="web-01", image=image, memory_bytes=32 * MIB, start=False)
    assert (await ended(server, await server.admin.call(vms.CREATE, body=body))).state is OperationState.SUCCEEDED
    vm = await server.vm("web-01")
    undefine(pool)
    query = vms.DeleteQuery(disks=True)
    operation = await server.admin.call(vms.DELETE, query=query, if_match=vm.generation, vm_id=vm.id)
    failed = await ended(server, operation)
    assert failed.problem is not None
    assert f"the pool {pool.name()} is not defined on the host" in failed.problem.detail
    assert "The VM is kept: delete it again, or without its disks" in failed.problem.detail
    vm = await server.vm("web-01")
    await ended(server, await server.admin.call(vms.DELETE, if_match=vm.generation, vm_id=vm.id))
    assert "web-01" not in [row.name for row in server.parts.inventory.state.rows.values()]


async def test_volume_is_not_told_as_deleted_while_its_pool_is_not_defined(
    server: LiveServer, pool: libvirt.virStoragePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = server.admin.call(volumes.CREATE, body=VolumeCreate(name="data-01", size_bytes=MIB))
    assert (await ended(server, await create)).state is OperationState.SUCCEEDED
    volume = next(v for v in (await server.admin.call(volumes.LIST)).items if v.name == "data-01")

    async def undefine_then(_place: str) -> None:
        if pool.isActive():
            undefine(pool)

    monkeypatch.setattr(delete, "failpoint", undefine_then)
    failed = await ended(server, await server.admin.call(volumes.DELETE, volume_id=volume.id))
    assert failed.problem is not None
    assert f"the pool {pool.name()} is not defined on the host" in failed.problem.detail
    assert volume.id in [row.id for row in server.parts.inventory.state.storage.volume_rows.values()]
    context: Any = SimpleNamespace(request={"volume": volume.id})
    told = await server.parts.operations.procedures["volume.delete"].resume(context)
    assert told.startswith("it was not deleted: the pool")


async def test_what_was_never_made_needs_no_pool(server: LiveServer, pool: libvirt.virStoragePool) -> None:
    host = server.parts.inventory.connections()[0]
    undefine(pool)
    await host.storage.delete_volume(pool.name(), "planned", undo=True)
    await discard(host, CopyRecord(pool=pool.name(), name="planned", path="/nowhere/planned"))
    made = CopyRecord(pool=pool.name(), name="made", path="/nowhere/made", temporary="made.part", inode=7)
    with pytest.raises(errors.Conflict, match="is not defined"):
        await discard(host, made)
