"""Hosts, pools and volumes change outside NovaCron during operations: nothing is lost or left over (G3, G9, G10)."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path

import libvirt
import pytest

from novacron_core import errors
from novacron_core.api import operations, pools, vms, volumes
from novacron_core.api.base import ListQuery
from novacron_core.api.operations import Operation, OperationState
from novacron_core.values.tiers import TierName
from novacron_server.operations import repository
from novacron_server.operations.repository import StoredOperation
from novacron_server.vms.procedures import create
from tests.support.storage import (
    MIB,
    StorageServer,
    deactivate,
    expect_one_copy,
    expect_only_file,
    move,
    pause_before_switch,
)
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_host_restart_during_a_move_leaves_one_copy(storage: StorageServer) -> None:
    volume = await storage.create_volume("lost")
    vm = await storage.vm("web-lost", volume, start=True)
    operation = await move(storage, volume, bandwidth_bytes_s=MIB)

    async def in_progress() -> bool | None:
        now = await storage.admin.call(operations.GET, operation_id=operation.id)
        return True if now.progress else None

    await until(in_progress)
    storage.daemon.kill()

    async def down() -> bool | None:
        views = storage.server.parts.inventory.state.views.values()
        return True if all(view.status == "down" for view in views) else None

    await until(down)
    storage.daemon.start()
    storage.libvirt = libvirt.open(storage.daemon.uri)
    ended = await until(lambda: _ended(storage, operation), 60)
    assert ended.state is OperationState.FAILED
    assert ended.problem is not None
    assert "host" in ended.problem.detail
    await expect_one_copy(storage, vm, volume, "hot")
    live, persistent = storage.disk_paths(vm.id)
    assert live == persistent
    await storage.succeeded(await move(storage, volume))  # nothing blocks it
    expect_only_file(storage, volume, "cold")


async def _ended(storage: StorageServer, operation: Operation) -> Operation | None:
    now = await storage.admin.call(operations.GET, operation_id=operation.id)
    return now if now.state.ended else None


async def _create_and_remove_outside(storage: StorageServer, name: str, tier: TierName) -> volumes.Volume:
    volume = await storage.create_volume(name, tier=tier)
    storage.libvirt.storagePoolLookupByName(volume.pool).storageVolLookupByName(name).delete(0)
    await storage.server.parts.inventory.refresh_volumes(volume.host)
    return volume


async def test_name_of_a_volume_removed_outside_is_free(storage: StorageServer) -> None:
    removed = await _create_and_remove_outside(storage, "removed", "hot")
    again = await storage.create_volume("removed")
    assert again.id != removed.id
    clone, other = volumes.VolumeClone(name="copied"), await _create_and_remove_outside(storage, "copied", "hot")
    await storage.succeeded(await storage.admin.call(volumes.CLONE, body=clone, volume_id=again.id))
    assert (await storage.volume("copied")).id != other.id


async def test_volume_moves_to_a_tier_where_its_namesake_was_removed_outside(storage: StorageServer) -> None:
    await _create_and_remove_outside(storage, "same", "cold")
    volume = await storage.create_volume("same")
    vm = await storage.vm("web-same", volume)
    await storage.succeeded(await move(storage, volume))
    await expect_one_copy(storage, vm, volume, "cold")


async def test_volume_in_an_inactive_pool_keeps_its_name(storage: StorageServer) -> None:
    volume = await storage.create_volume("asleep", tier="warm")
    pool = storage.libvirt.storagePoolLookupByName(volume.pool)
    await deactivate(pool)
    await storage.server.parts.inventory.refresh_volumes(volume.host)
    assert storage.server.parts.inventory.state.storage.row_without_volume(volume.host, volume.pool, "asleep") is None
    pool.create(0)
    await storage.server.parts.inventory.refresh_volumes(volume.host)
    assert (await storage.volume("asleep")).id == volume.id


async def test_disk_detached_outside_is_not_deleted_with_the_vm(storage: StorageServer) -> None:
    volume = await storage.create_volume("kept")
    vm = await storage.vm("web-kept", volume)
    domain = storage.libvirt.lookupByUUIDString(vm.id)
    domain.detachDeviceFlags(
        f"<disk type='file'><source file='{storage.path(volume)}'/><target dev='vdb' bus='virtio'/></disk>",
        libvirt.VIR_DOMAIN_AFFECT_CONFIG,
    )

    async def detached_shown() -> bool | None:
        return True if len((await storage.server.vm("web-kept")).disks) == 1 else None

    await until(detached_shown)
    vm = await storage.server.vm("web-kept")
    await storage.succeeded(
        await storage.admin.call(vms.DELETE, query=vms.DeleteQuery(disks=True), if_match=vm.generation, vm_id=vm.id)
    )
    assert ("hot", "kept") in storage.files()
    assert (await storage.volume("kept")).vm is None
    assert not [name for _, name in storage.files() if name.startswith("web-kept")]


async def test_write_between_compare_and_switch_is_not_lost(
    storage: StorageServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    volume = await storage.create_volume("late", image_format="raw")
    vm = await storage.vm("web-late", volume)
    operation = await pause_before_switch(storage, volume, monkeypatch, tmp_path / "go")
    with storage.path(volume).open("r+b") as file:
        file.write(b"late")
    (tmp_path / "go").touch()
    ended = await storage.ended(operation)
    assert ended.state is OperationState.FAILED
    assert ended.problem is not None
    assert "written to after it was copied" in ended.problem.detail
    expect_only_file(storage, volume, "hot")
    assert str(storage.path(volume)) in storage.disk_paths(vm.id)[1]
    assert storage.path(await storage.volume("late")).read_bytes()[:4] == b"late"


async def test_pool_lost_during_a_creation_is_cleaned_when_it_is_back(
    storage: StorageServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "vm.create:volumes=pause")
    monkeypatch.setenv("NOVACRON_FAILPOINT_RELEASE", str(tmp_path / "go"))
    body = vms.VMCreate(name="web-off", image="empty", memory_bytes=32 * MIB, tier="warm", start=False)
    operation = await storage.admin.call(vms.CREATE, body=body)

    async def has_files() -> bool | None:
        return True if [name for _, name in storage.files() if name.startswith("web-off")] else None

    await until(has_files)
    pool = storage.libvirt.storagePoolLookupByName((await storage.three_pools())["warm"].name)
    await deactivate(pool)
    (tmp_path / "go").touch()
    ended = await storage.ended(operation)
    assert ended.state is OperationState.FAILED
    assert ended.problem is not None
    assert "not active" in ended.problem.detail
    for _ in range(3):
        await storage.server.parts.operations.pending_undos.once()
        await storage.server.parts.reconciler.once()  # which keeps the rows meanwhile: they reserve the name
    pool.create(0)
    await storage.server.parts.inventory.refresh_volumes((await storage.three_pools())["warm"].host)
    await storage.server.parts.operations.pending_undos.once()
    assert not [name for _, name in storage.files() if name.startswith("web-off")]

    async def rows_removed() -> bool | None:
        rows = storage.server.parts.inventory.state.storage.volume_rows.values()
        named = [vm for vm in (await storage.admin.call(vms.LIST)).items if vm.name == "web-off"]
        return None if named or any(row.name.startswith("web-off") for row in rows) else True

    await until(rows_removed)


async def test_source_pool_lost_after_the_switch_is_cleaned_when_it_is_back(
    storage: StorageServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    volume = await storage.create_volume("source", tier="warm")
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "volume.move:told=pause")
    monkeypatch.setenv("NOVACRON_FAILPOINT_RELEASE", str(tmp_path / "go"))
    operation = await move(storage, volume)

    async def row_moved() -> bool | None:
        return True if (await storage.admin.call(volumes.GET, volume_id=volume.id)).tier == "cold" else None

    await until(row_moved)
    pool = storage.libvirt.storagePoolLookupByName(volume.pool)
    await deactivate(pool)
    (tmp_path / "go").touch()
    ended = await storage.succeeded(operation)
    assert "the unused copy cannot be removed yet" in ended.step
    pool.create(0)

    async def old_copy_removed() -> bool | None:
        return True if ("warm", "source") not in storage.files() else None

    await until(old_copy_removed)
    expect_only_file(storage, volume, "cold")


async def test_creation_interrupted_during_its_upload_is_repeated(
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
    # A partial upload, then the server dies: no undo, no end.
    disk.write_bytes((storage.server.data_dir / "images" / "empty.qcow2").read_bytes())
    stored = await _interrupt(storage, monkeypatch, operation)
    monkeypatch.undo()
    await storage.server.parts.operations.recover(stored)
    ended = await storage.ended(operation)
    assert ended.problem is not None
    assert "the VM was created after the restart" in ended.problem.detail
    vm = await storage.server.vm("web-redo")
    volume_id = vm.disks[0].volume
    assert volume_id is not None
    assert (await storage.admin.call(volumes.GET, volume_id=volume_id)).size_bytes == 20 * MIB


async def _interrupt(storage: StorageServer, monkeypatch: pytest.MonkeyPatch, operation: Operation) -> StoredOperation:
    """Stop an operation as a kill of the server would. Returns what the next server finds."""
    runner = storage.server.parts.operations
    with monkeypatch.context() as patch:
        patch.setattr(runner, "_closing", True)
        task = runner._tasks[operation.id]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return next(stored for stored in await runner.unended() if stored.operation.id == operation.id)


async def _wait_for_progress(storage: StorageServer, operation: Operation) -> None:
    async def in_progress() -> bool | None:
        now = await storage.admin.call(operations.GET, operation_id=operation.id)
        return True if now.progress else None

    await until(in_progress)


async def test_move_resumed_after_a_crash_can_be_cancelled(
    storage: StorageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = await storage.create_volume("slow")
    vm = await storage.vm("web-slow", volume, start=True)
    operation = await move(storage, volume, bandwidth_bytes_s=MIB)
    await _wait_for_progress(storage, operation)
    stored = await _interrupt(storage, monkeypatch, operation)
    recovering = asyncio.create_task(storage.server.parts.operations.recover(stored))

    async def cancelled() -> Operation | None:
        with suppress(errors.Conflict):  # recovery has not started it yet
            return await storage.admin.call(operations.CANCEL, operation_id=operation.id)
        return None

    assert (await until(cancelled)).state is OperationState.CANCELLED
    await recovering
    await expect_one_copy(storage, vm, volume, "hot")
    await storage.succeeded(await move(storage, volume))


async def test_file_created_outside_during_a_creation_is_not_deleted(
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


async def test_file_with_an_undecodable_name_hides_nothing_else(storage: StorageServer) -> None:
    """Python's libvirt binding cannot decode such a name: it once froze the whole host while /health stayed green."""
    good = await storage.create_volume("beside")
    folder = storage.path(good).parent
    odd = os.path.join(os.fsencode(folder), b"Gr\xf6\xdfe.iso")
    with open(odd, "wb") as file:
        file.write(b"\0" * 1024)
    try:
        storage.libvirt.storagePoolLookupByName(good.pool).refresh(0)
        after = await storage.create_volume("after")
        assert {good.name, after.name} <= {volume.name for volume in await _volumes(storage)}
        await storage.succeeded(await storage.admin.call(volumes.DELETE, volume_id=good.id))
        vm = await storage.vm("sees-changes", start=True)
        storage.libvirt.lookupByUUIDString(vm.id).destroy()

        async def stopped() -> bool | None:
            return (await storage.server.vm(vm.name)).state == "stopped" or None

        await until(stopped)
        match = (await storage.server.vm(vm.name)).generation
        delete = storage.admin.call(vms.DELETE, vm_id=vm.id, query=vms.DeleteQuery(disks=True), if_match=match)
        await storage.succeeded(await delete)
    finally:
        os.unlink(odd)
    await storage.succeeded(await storage.admin.call(volumes.DELETE, volume_id=after.id))


async def _volumes(storage: StorageServer) -> list[volumes.Volume]:
    return (await storage.admin.call(volumes.LIST, query=ListQuery(page_size=1000))).items


async def test_missing_directory_of_a_pool_is_not_built_anew(storage: StorageServer) -> None:
    pool = storage.libvirt.storagePoolLookupByName((await storage.three_pools())["warm"].name)
    folder = storage.server.data_dir / "pools" / "warm"
    away = folder.rename(folder.with_name("unmounted"))
    try:
        await deactivate(pool)
        await storage.server.parts.inventory.refresh_volumes((await storage.three_pools())["warm"].host)
        shown = (await storage.three_pools())["warm"]
        assert shown.problem == f"its directory {folder} is missing: is its disk mounted?"
        empty = volumes.VolumeCreate(name="no-room", size_bytes=MIB, tier="warm")
        with pytest.raises(
            errors.Conflict, match=r"warm has no active pool on .*: its directory .* is missing: is its"
        ):
            await storage.admin.call(volumes.CREATE, body=empty)
        body = vms.VMCreate(name="no-room", image="empty", memory_bytes=32 * MIB, tier="warm", start=False)
        ended = await storage.ended(await storage.admin.call(vms.CREATE, body=body))
        assert ended.state is OperationState.FAILED
        assert ended.problem is not None
        assert (
            f"the directory {folder} of the pool {pool.name()} is missing: is its disk mounted?" in ended.problem.detail
        )
        assert not folder.exists()
        rows = storage.server.parts.inventory.state.rows.values()
        assert "no-room" not in [row.name for row in rows]
    finally:
        away.rename(folder)
    ended = await storage.succeeded(await storage.admin.call(vms.CREATE, body=body))


async def test_disks_of_a_transient_vm_are_not_changed_because_that_would_define_it(storage: StorageServer) -> None:
    volume = await storage.create_volume("passing")
    vm = await storage.vm("passing", start=True)
    domain = storage.libvirt.lookupByUUIDString(vm.id)
    domain.undefine()

    async def transient() -> bool | None:
        return (await storage.server.vm("passing")).transient or None

    await until(transient)
    with pytest.raises(errors.Conflict, match="passing is transient"):
        await storage.admin.call(volumes.ATTACH, body=volumes.VolumeAttach(vm=vm.id), volume_id=volume.id)
    host = storage.server.parts.inventory.host(vm.host)
    with pytest.raises(errors.Conflict, match="the VM is transient"):
        await host.disks.attach(vm.id, volume.pool, volume.name, "qcow2", read_only=False)
    assert not domain.isPersistent()


async def test_pool_in_the_directory_of_another_does_not_count_its_files_twice(storage: StorageServer) -> None:
    volume = await storage.create_volume("named-twice")
    vm = await storage.vm("named-twice", volume)
    folder = storage.path(volume).parent
    link = folder.with_name("link")
    link.symlink_to(folder)
    text = f"<pool type='dir'><name>alias</name><target><path>{link}</path></target></pool>"
    alias = storage.libvirt.storagePoolDefineXML(text, 0)
    alias.create(0)
    try:

        async def seen() -> pools.Pool | None:
            return next((pool for pool in (await storage.admin.call(pools.LIST)).items if pool.name == "alias"), None)

        pool = await until(seen)
        page = await storage.admin.call(volumes.LIST, query=ListQuery(page_size=1000))
        found = [shown for shown in page.items if shown.name == "named-twice"]
        assert {(shown.pool == "alias", shown.vm) for shown in found} == {(True, vm.id), (False, vm.id)}
        with pytest.raises(errors.Conflict, match="its files would be counted twice"):
            await storage.admin.call(pools.SET_TIER, body=pools.PoolTier(tier="cold"), pool_id=pool.id)
    finally:
        alias.destroy()
        alias.undefine()
        link.unlink()


@pytest.mark.parametrize("start", [True, False], ids=["running", "stopped"])
async def test_overlay_that_others_made_and_its_base_belong_to_the_vm(storage: StorageServer, start: bool) -> None:
    vm = await storage.vm(f"snapped-{start}".lower(), start=start)
    base = next(disk.volume for disk in vm.disks)
    domain = storage.libvirt.lookupByUUIDString(vm.id)
    for name in ("s1", "s2"):
        flags = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA
        domain.snapshotCreateXML(f"<domainsnapshot><name>{name}</name></domainsnapshot>", flags)

    async def shown() -> dict[str, tuple[str | None, str]] | None:
        page = await storage.admin.call(volumes.LIST, query=ListQuery(page_size=1000))
        found = {v.name: (v.vm, v.role) for v in page.items if v.name.startswith(vm.name)}
        return found if len(found) == 3 and all(user for user, _ in found.values()) else None

    found = await until(shown, 30)
    assert sorted(role for _, role in found.values()) == ["backing file", "backing file", "disk"]
    assert {user for user, _ in found.values()} == {vm.id}
    call = storage.admin.call
    for refused in (
        call(volumes.DELETE, volume_id=str(base)),
        call(volumes.MOVE, body=volumes.VolumeMove(tier="cold"), volume_id=str(base)),
        call(volumes.RESIZE, body=volumes.VolumeResize(size_bytes=1 << 30), volume_id=str(base)),
        call(volumes.DETACH, volume_id=str(base)),
    ):
        with pytest.raises(errors.Conflict, match="is the backing file of"):
            await refused
    if start:
        await storage.succeeded(await storage.admin.call(vms.POWER_OFF, vm_id=vm.id))
    vm = await storage.server.vm(vm.name)
    query = vms.DeleteQuery(disks=True)
    await storage.succeeded(await storage.admin.call(vms.DELETE, query=query, if_match=vm.generation, vm_id=vm.id))
    assert not [name for _, name in storage.files() if name.startswith(vm.name)]


async def test_disk_is_itself_again_after_the_commit_of_an_overlay(storage: StorageServer) -> None:
    vm = await storage.vm("committed", start=True)
    base = next(disk.volume for disk in vm.disks)
    domain = storage.libvirt.lookupByUUIDString(vm.id)
    flags = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA
    domain.snapshotCreateXML("<domainsnapshot><name>s1</name></domainsnapshot>", flags)

    async def role() -> str:
        return (await storage.admin.call(volumes.GET, volume_id=str(base))).role

    async def is_base() -> bool | None:
        return True if await role() == "backing file" else None

    async def is_disk() -> bool | None:
        return True if await role() == "disk" else None

    async def is_ready() -> bool | None:
        return True if "ready='yes'" in domain.XMLDesc() else None

    await until(is_base, 30)
    domain.blockCommit("vda", None, None, 0, libvirt.VIR_DOMAIN_BLOCK_COMMIT_ACTIVE)
    await until(is_ready, 30)
    domain.blockJobAbort("vda", libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT)
    await until(is_disk, 30)
    assert (await storage.admin.call(volumes.GET, volume_id=str(base))).vm == vm.id
    await storage.succeeded(await storage.admin.call(vms.POWER_OFF, vm_id=vm.id))
    query, now = vms.DeleteQuery(disks=True), await storage.server.vm(vm.name)
    await storage.succeeded(await storage.admin.call(vms.DELETE, query=query, if_match=now.generation, vm_id=vm.id))
    assert (vm.tier, "committed") not in storage.files()
