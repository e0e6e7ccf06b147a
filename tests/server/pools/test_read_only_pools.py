"""A pool whose file system became read-only, as after an error of its disk: refusals say so, and nothing is lost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
import pytest_asyncio

from novacron_core.api import vms, volumes
from novacron_core.api.operations import Operation, OperationState
from novacron_core.api.pools import Pool
from novacron_core.api.vms import VMCreate
from novacron_core.api.volumes import VolumeCreate
from tests.support.mounted_pools import enter, mount_cold_pool
from tests.support.storage import MIB, StorageServer, move
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")
READ_ONLY = "read-only"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def failing(storage: StorageServer) -> AsyncIterator[Pool]:
    yield await mount_cold_pool(storage, "failing", "64m")


@contextmanager
def read_only(storage: StorageServer) -> Iterator[None]:
    path = str(storage.server.data_dir / "failing")
    enter(storage, "mount", "-o", "remount,ro", path)
    try:
        yield
    finally:
        enter(storage, "mount", "-o", "remount,rw", path)


def in_pool(storage: StorageServer) -> set[str]:
    pool = storage.libvirt.storagePoolLookupByName("failing")
    pool.refresh(0)
    return set(pool.listVolumes())


async def failure(storage: StorageServer, operation: Operation) -> str:
    ended = await storage.ended(operation)
    assert ended.state is OperationState.FAILED
    assert ended.problem is not None
    return ended.problem.detail.lower()


async def test_creations_say_why_and_leave_nothing(storage: StorageServer, failing: Pool) -> None:
    before = in_pool(storage)
    with read_only(storage):
        body = VolumeCreate(name="unwritten", size_bytes=MIB, tier="cold")
        assert READ_ONLY in await failure(storage, await storage.admin.call(volumes.CREATE, body=body))
        vm = VMCreate(name="unwritten-vm", image="empty", memory_bytes=32 * MIB, tier="cold", start=False)
        assert READ_ONLY in await failure(storage, await storage.admin.call(vms.CREATE, body=vm))
    assert in_pool(storage) == before
    await storage.server.parts.inventory.refresh_volumes(failing.host)
    state = storage.server.parts.inventory.state
    assert "unwritten-vm" not in [row.name for row in state.rows.values()]
    assert not [row.name for row in state.storage.volume_rows.values() if row.name.startswith("unwritten")]
    await storage.succeeded(await storage.admin.call(volumes.CREATE, body=body))
    await storage.succeeded(await storage.admin.call(vms.CREATE, body=vm))


async def test_volume_is_moved_out_and_its_old_copy_removed_later(storage: StorageServer, failing: Pool) -> None:
    body = VolumeCreate(name="rescued", size_bytes=MIB, tier="cold")
    await storage.succeeded(await storage.admin.call(volumes.CREATE, body=body))
    volume = await storage.volume("rescued")
    with read_only(storage):
        ended = await storage.succeeded(await move(storage, volume, "hot"))
        assert "the unused copy cannot be removed yet" in ended.step
        assert READ_ONLY in ended.step.lower()
        moved = await storage.volume("rescued")
        assert (moved.id, moved.tier, moved.unmanaged) == (volume.id, "hot", False)
        assert storage.path(moved).exists()
        assert "rescued" in in_pool(storage)

    async def removed() -> bool | None:
        await storage.server.parts.inventory.refresh_volumes(failing.host)
        return None if "rescued" in in_pool(storage) else True

    await until(removed, 60)


async def test_vm_and_its_disk_are_kept_until_the_disk_can_be_deleted(storage: StorageServer, failing: Pool) -> None:
    body = VMCreate(name="kept-vm", image="empty", memory_bytes=32 * MIB, tier="cold", start=False)
    await storage.succeeded(await storage.admin.call(vms.CREATE, body=body))
    vm, query = await storage.server.vm("kept-vm"), vms.DeleteQuery(disks=True)
    before = in_pool(storage)
    with read_only(storage):
        why = await failure(
            storage, await storage.admin.call(vms.DELETE, query=query, if_match=vm.generation, vm_id=vm.id)
        )
        assert READ_ONLY in why
        assert "the vm is kept: delete it again, or without its disks" in why
    assert in_pool(storage) == before
    vm = await storage.server.vm("kept-vm")
    assert [disk.volume is not None for disk in vm.disks] == [True]
    await storage.succeeded(await storage.admin.call(vms.DELETE, query=query, if_match=vm.generation, vm_id=vm.id))
    assert not [name for name in in_pool(storage) if name.startswith("kept-vm")]
