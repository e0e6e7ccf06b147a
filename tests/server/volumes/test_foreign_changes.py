"""What others do to hosts, pools and volumes in mid-operation: nothing is lost, and nothing is left (G3, G9, G10)."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import libvirt
import pytest

from novacron_core import errors
from novacron_core.api import operations, vms, volumes
from novacron_core.api.operations import Operation, OperationState
from novacron_core.values.tiers import TierName
from novacron_server.operations import repository
from novacron_server.operations.repository import StoredOperation
from novacron_server.vms.procedures import create
from tests.support.storage import MIB, StorageServer, expect_one_copy, move, only, paused_before_the_switch
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_host_that_restarts_in_mid_move_leaves_one_copy(storage: StorageServer) -> None:
    volume = await storage.made("lost")
    vm = await storage.vm("web-lost", volume, start=True)
    operation = await move(storage, volume, bandwidth_bytes_s=MIB)

    async def going() -> bool | None:
        now = await storage.admin.call(operations.GET, operation_id=operation.id)
        return True if now.progress else None

    await until(going)
    storage.daemon.kill()

    async def down() -> bool | None:
        views = storage.server.parts.inventory.state.views.values()
        return True if all(view.status == "down" for view in views) else None

    await until(down)
    storage.daemon.start()
    storage.libvirt = libvirt.open(storage.daemon.uri)
    ended = await until(lambda: _end(storage, operation), 60)
    assert ended.state is OperationState.FAILED
    assert ended.problem is not None
    assert "host" in ended.problem.detail
    await expect_one_copy(storage, vm, volume, "hot")
    live, persistent = storage.disk_paths(vm.id)
    assert live == persistent
    await storage.done(await move(storage, volume))  # nothing stands in its way
    only(storage, volume, "cold")


async def _end(storage: StorageServer, operation: Operation) -> Operation | None:
    now = await storage.admin.call(operations.GET, operation_id=operation.id)
    return now if now.state.ended else None


async def _removed_outside(storage: StorageServer, name: str, tier: TierName) -> volumes.Volume:
    volume = await storage.made(name, tier=tier)
    storage.libvirt.storagePoolLookupByName(volume.pool).storageVolLookupByName(name).delete(0)
    await storage.server.parts.inventory.refresh_volumes(volume.host)
    return volume


async def test_the_name_of_a_volume_that_was_removed_outside_is_free(storage: StorageServer) -> None:
    removed = await _removed_outside(storage, "removed", "hot")
    again = await storage.made("removed")
    assert again.id != removed.id
    clone, other = volumes.VolumeClone(name="copied"), await _removed_outside(storage, "copied", "hot")
    await storage.done(await storage.admin.call(volumes.CLONE, body=clone, volume_id=again.id))
    assert (await storage.volume("copied")).id != other.id


async def test_a_volume_moves_to_where_one_of_its_name_was_removed_outside(storage: StorageServer) -> None:
    await _removed_outside(storage, "same", "cold")
    volume = await storage.made("same")
    vm = await storage.vm("web-same", volume)
    await storage.done(await move(storage, volume))
    await expect_one_copy(storage, vm, volume, "cold")


async def test_a_volume_whose_pool_is_off_keeps_its_name(storage: StorageServer) -> None:
    volume = await storage.made("asleep", tier="warm")
    pool = storage.libvirt.storagePoolLookupByName(volume.pool)
    pool.destroy()
    await storage.server.parts.inventory.refresh_volumes(volume.host)
    assert storage.server.parts.inventory.state.storage.row_without_volume(volume.host, volume.pool, "asleep") is None
    pool.create(0)
    await storage.server.parts.inventory.refresh_volumes(volume.host)
    assert (await storage.volume("asleep")).id == volume.id


async def test_a_disk_that_was_detached_outside_does_not_go_with_its_vm(storage: StorageServer) -> None:
    volume = await storage.made("kept")
    vm = await storage.vm("web-kept", volume)
    domain = storage.libvirt.lookupByUUIDString(vm.id)
    domain.detachDeviceFlags(
        f"<disk type='file'><source file='{storage.path(volume)}'/><target dev='vdb' bus='virtio'/></disk>",
        libvirt.VIR_DOMAIN_AFFECT_CONFIG,
    )

    async def shown() -> bool | None:
        return True if len((await storage.server.vm("web-kept")).disks) == 1 else None

    await until(shown)
    vm = await storage.server.vm("web-kept")
    await storage.done(
        await storage.admin.call(vms.DELETE, query=vms.DeleteQuery(disks=True), if_match=vm.generation, vm_id=vm.id)
    )
    assert ("hot", "kept") in storage.files()
    assert (await storage.volume("kept")).vm is None
    assert not [name for _, name in storage.files() if name.startswith("web-kept")]


async def test_what_is_written_between_the_comparing_and_the_switch_is_not_lost(
    storage: StorageServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    volume = await storage.made("late", image_format="raw")
    vm = await storage.vm("web-late", volume)
    operation = await paused_before_the_switch(storage, volume, monkeypatch, tmp_path / "go")
    with storage.path(volume).open("r+b") as file:
        file.write(b"late")
    (tmp_path / "go").touch()
    ended = await storage.ended(operation)
    assert ended.state is OperationState.FAILED
    assert ended.problem is not None
    assert "written to after it was copied" in ended.problem.detail
    only(storage, volume, "hot")
    assert str(storage.path(volume)) in storage.disk_paths(vm.id)[1]
    assert storage.path(await storage.volume("late")).read_bytes()[:4] == b"late"


async def test_a_pool_that_goes_away_in_mid_creation_keeps_nothing_of_it(
    storage: StorageServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "vm.create:volumes=pause")
    monkeypatch.setenv("NOVACRON_FAILPOINT_RELEASE", str(tmp_path / "go"))
    body = vms.VMCreate(name="web-off", image="empty", memory_bytes=32 * MIB, tier="warm", start=False)
    operation = await storage.admin.call(vms.CREATE, body=body)

    async def made() -> bool | None:
        return True if [name for _, name in storage.files() if name.startswith("web-off")] else None

    await until(made)
    pool = storage.libvirt.storagePoolLookupByName((await storage.three_pools())["warm"].name)
    pool.destroy()
    (tmp_path / "go").touch()
    ended = await storage.ended(operation)
    assert ended.state is OperationState.FAILED
    assert ended.problem is not None
    assert "not active" in ended.problem.detail
    for _ in range(3):
        await storage.server.parts.reconciler.once()  # it is not forgotten meanwhile
    pool.create(0)
    await storage.server.parts.inventory.refresh_volumes((await storage.three_pools())["warm"].host)
    await storage.server.parts.reconciler.once()
    assert not [name for _, name in storage.files() if name.startswith("web-off")]

    async def forgotten() -> bool | None:
        rows = storage.server.parts.inventory.state.storage.volume_rows.values()
        named = [vm for vm in (await storage.admin.call(vms.LIST)).items if vm.name == "web-off"]
        return None if named or any(row.name.startswith("web-off") for row in rows) else True

    await until(forgotten)


async def test_a_source_that_goes_away_at_the_last_moment_leaves_no_old_copy(
    storage: StorageServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    volume = await storage.made("source", tier="warm")
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "volume.move:told=pause")
    monkeypatch.setenv("NOVACRON_FAILPOINT_RELEASE", str(tmp_path / "go"))
    operation = await move(storage, volume)

    async def told() -> bool | None:
        return True if (await storage.admin.call(volumes.GET, volume_id=volume.id)).tier == "cold" else None

    await until(told)
    pool = storage.libvirt.storagePoolLookupByName(volume.pool)
    pool.destroy()
    (tmp_path / "go").touch()
    ended = await storage.done(operation)
    assert "is removed when its pool is back" in ended.step
    pool.create(0)

    async def clean() -> bool | None:
        return True if ("warm", "source") not in storage.files() else None

    await until(clean)
    only(storage, volume, "cold")


async def test_a_creation_that_was_cut_off_in_its_upload_is_made_anew(
    storage: StorageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = asyncio.Event()

    async def wait_there(name: str) -> None:
        if name == "vm.create:volumes":
            created.set()
            await asyncio.Event().wait()

    monkeypatch.setattr(create, "failpoint", wait_there)
    body = vms.VMCreate(name="web-redo", image="empty", memory_bytes=32 * MIB, disk_bytes=20 * MIB, start=False)
    operation = await storage.admin.call(vms.CREATE, body=body)
    async with asyncio.timeout(60):
        await created.wait()
    (disk,) = (storage.server.data_dir / "pools" / "hot").glob("web-redo-*")
    # As much of the image as came through, and the server is gone: no undoing, no end.
    disk.write_bytes((storage.server.data_dir / "images" / "empty.qcow2").read_bytes())
    stored = await _cut_off(storage, monkeypatch, operation)
    monkeypatch.undo()
    await storage.server.parts.operations.recover(stored)
    ended = await storage.ended(operation)
    assert ended.problem is not None
    assert "the VM was created after the restart" in ended.problem.detail
    vm = await storage.server.vm("web-redo")
    volume_id = vm.disks[0].volume
    assert volume_id is not None
    assert (await storage.admin.call(volumes.GET, volume_id=volume_id)).size_bytes == 20 * MIB


async def _cut_off(storage: StorageServer, monkeypatch: pytest.MonkeyPatch, operation: Operation) -> StoredOperation:
    """What the next server finds of an operation whose server was killed."""
    runner = storage.server.parts.operations
    with monkeypatch.context() as patch:
        patch.setattr(runner, "_closing", True)
        task = runner._tasks[operation.id]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return next(stored for stored in await runner.unended() if stored.operation.id == operation.id)


async def _going(storage: StorageServer, operation: Operation) -> None:
    async def going() -> bool | None:
        now = await storage.admin.call(operations.GET, operation_id=operation.id)
        return True if now.progress else None

    await until(going)


async def test_a_move_that_is_gone_on_with_after_a_crash_is_cancelled(
    storage: StorageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = await storage.made("slow")
    vm = await storage.vm("web-slow", volume, start=True)
    operation = await move(storage, volume, bandwidth_bytes_s=MIB)
    await _going(storage, operation)
    stored = await _cut_off(storage, monkeypatch, operation)
    settling = asyncio.create_task(storage.server.parts.operations.recover(stored))

    async def cancelled() -> Operation | None:
        with suppress(errors.Conflict):  # it has not begun yet
            return await storage.admin.call(operations.CANCEL, operation_id=operation.id)
        return None

    assert (await until(cancelled)).state is OperationState.CANCELLED
    await settling
    await expect_one_copy(storage, vm, volume, "hot")
    await storage.done(await move(storage, volume))


async def test_what_somebody_makes_at_the_last_moment_is_not_taken_for_ours(
    storage: StorageServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "volume.create:planned=pause")
    monkeypatch.setenv("NOVACRON_FAILPOINT_RELEASE", str(tmp_path / "go"))
    body = volumes.VolumeCreate(name="theirs", size_bytes=MIB, format="raw")
    operation = await storage.admin.call(volumes.CREATE, body=body)

    async def planned() -> bool | None:
        stored = await storage.server.parts.database.run(lambda c: repository.get(c, operation.id))
        assert stored is not None
        return True if stored.steps.get("copy") else None

    await until(planned)
    pool = storage.libvirt.storagePoolLookupByName((await storage.three_pools())["hot"].name)
    theirs = "<volume><name>theirs</name><capacity>1048576</capacity><allocation>0</allocation></volume>"
    path = Path(pool.createXML(theirs, 0).path())
    path.write_bytes(b"theirs".ljust(MIB))
    (tmp_path / "go").touch()
    assert (await storage.ended(operation)).state is OperationState.FAILED
    assert path.read_bytes().startswith(b"theirs")
