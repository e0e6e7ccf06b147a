"""Files that the host refuses to delete: what is done is reported as done, and the rest can be repeated."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from novacron_core.api import vms
from novacron_core.api.operations import OperationState
from tests.support.storage import StorageServer, expect_content, move
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@contextmanager
def immutable(path: Path) -> Iterator[None]:
    """Nobody can delete the file meanwhile, not even root."""
    if subprocess.run(["chattr", "+i", str(path)], check=False, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("this file system has no immutable files")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", str(path)], check=True)


async def test_vm_whose_disk_cannot_be_deleted_is_kept_and_can_be_deleted_again(storage: StorageServer) -> None:
    vm = await storage.vm("stuck")
    disk = next(path for path in (storage.server.data_dir / "pools/hot").iterdir() if path.name.startswith("stuck"))
    query = vms.DeleteQuery(disks=True)
    with immutable(disk):
        ended = await storage.ended(
            await storage.admin.call(vms.DELETE, query=query, if_match=vm.generation, vm_id=vm.id)
        )
        assert ended.state is OperationState.FAILED
        assert ended.problem is not None
        assert "the file or its directory is read-only or immutable. The VM is kept" in ended.problem.detail
        vm = await storage.server.vm("stuck")
        assert (vm.state, [shown.volume is not None for shown in vm.disks]) == (vms.State.STOPPED, [True])
        storage.libvirt.lookupByUUIDString(vm.id)
    await storage.succeeded(await storage.admin.call(vms.DELETE, query=query, if_match=vm.generation, vm_id=vm.id))
    assert not disk.exists()


async def test_old_copy_that_cannot_be_deleted_does_not_fail_the_move_and_is_deleted_later(
    storage: StorageServer,
) -> None:
    volume = await storage.create_volume("clings")
    old = storage.path(volume)
    with immutable(old):
        # libvirt sets the owner of a disk that it opens, so the volume is free here.
        ended = await storage.succeeded(await move(storage, volume))
        assert "the unused copy cannot be removed yet" in ended.step
        moved = await storage.volume("clings")
        assert (moved.id, moved.tier, moved.unmanaged) == (volume.id, "cold", False)
        expect_content(storage, storage.path(moved))

    async def deleted() -> bool | None:
        await storage.server.parts.inventory.refresh_volumes(moved.host)
        return None if old.exists() else True

    await until(deleted, 60)
