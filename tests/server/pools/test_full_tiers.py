"""Full tiers and pools that become inactive during a move: nothing is lost or left over."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import libvirt
import msgspec
import pytest
import pytest_asyncio

from novacron_core import errors
from novacron_core.api import operations, stored_events, vms, volumes
from novacron_core.api.operations import OperationState
from novacron_core.api.pools import Pool
from novacron_core.api.stored_events import EventQuery
from novacron_core.api.vms import VMCreate
from novacron_core.api.volumes import VolumeCreate, VolumeResize
from novacron_server.inventory import host_sync
from novacron_server.vms.procedures import power
from tests.support.mounted_pools import mount_cold_pool
from tests.support.storage import MIB, StorageServer, deactivate, expect_content, move
from tests.support.waiting import until
from tests.support.writing_guest import add_image

pytestmark = pytest.mark.asyncio(loop_scope="module")
POOL = "<pool type='dir'><name>{name}</name><target><path>{path}</path></target></pool>"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def small(storage: StorageServer) -> AsyncIterator[Pool]:
    """A tier `cold` whose only active pool is on a disk of 32 MiB. The managed pool is inactive meanwhile."""
    yield await mount_cold_pool(storage, "small", "32m")


def in_small(storage: StorageServer) -> list[str]:
    return sorted(storage.libvirt.storagePoolLookupByName("small").listVolumes())


async def test_volume_that_does_not_fit_is_refused(storage: StorageServer, small: Pool) -> None:
    assert (small.capacity_bytes, small.shares_disk_with) == (32 * MIB, None)  # a disk that this process cannot see
    volume = await storage.create_volume("fits-not")
    big = await storage.admin.call(volumes.GET, volume_id=volume.id)
    with pytest.raises(errors.Conflict, match=r"cold .* has 32 MiB free"):
        await storage.admin.call(volumes.CREATE, body=VolumeCreate(name="x", size_bytes=33 * MIB, tier="cold"))
    room = await storage.admin.call(volumes.CREATE, body=VolumeCreate(name="room", size_bytes=30 * MIB, tier="cold"))
    await storage.succeeded(room)
    with pytest.raises(errors.Conflict, match="growing room needs"):
        await storage.admin.call(
            volumes.RESIZE, body=VolumeResize(size_bytes=1 << 40), volume_id=(await storage.volume("room")).id
        )
    filler = await storage.admin.call(
        volumes.CREATE, body=VolumeCreate(name="filler", size_bytes=20 * MIB, tier="cold")
    )
    await storage.succeeded(filler)
    assert big.tier == "hot"


async def test_space_that_was_freed_just_now_is_found_before_a_change_is_refused(
    storage: StorageServer, small: Pool
) -> None:
    filler = storage.server.data_dir / "small/filler.bin"
    enter = ["nsenter", "-m", "-t", str(storage.daemon._process.pid)]  # type: ignore[union-attr]
    subprocess.run([*enter, "fallocate", "-l", "31M", str(filler)], check=True)
    storage.libvirt.storagePoolLookupByName("small").refresh(0)
    await storage.server.parts.inventory.refresh_volumes(small.host)
    body = VolumeCreate(name="freed", size_bytes=8 * MIB, tier="cold")
    with pytest.raises(errors.Conflict, match="freed needs 8 MiB"):
        await storage.admin.call(volumes.CREATE, body=body)
    # libvirt does not notice this, and this process does not see the disk: only a refresh of the pool tells.
    subprocess.run([*enter, "rm", str(filler)], check=True)
    await storage.succeeded(await storage.admin.call(volumes.CREATE, body=body))
    await storage.succeeded(await storage.admin.call(volumes.DELETE, volume_id=(await storage.volume("freed")).id))


async def test_tier_that_fills_up_is_told_once_and_again_when_it_has_room(storage: StorageServer, small: Pool) -> None:
    """A file beside the volumes fills the disk: what counts is the space, whoever has taken it."""

    async def newest() -> str:
        query = EventQuery(q="type:tier.filling,tier.nearly_full,tier.relieved target:cold")
        return next(iter(event.type for event in (await storage.admin.call(stored_events.LIST, query=query)).items), "")

    async def told(*kinds: str) -> bool | None:
        storage.libvirt.storagePoolLookupByName("small").refresh(0)
        await storage.server.parts.inventory.refresh_volumes(small.host)
        return await newest() in kinds or None

    await until(lambda: told("", "tier.relieved"))
    filler = storage.server.data_dir / "small/beside.bin"
    enter = ["nsenter", "-m", "-t", str(storage.daemon._process.pid)]  # type: ignore[union-attr]
    subprocess.run([*enter, "fallocate", "-l", "29M", str(filler)], check=True)
    try:
        await until(lambda: told("tier.nearly_full"))
    finally:
        subprocess.run([*enter, "rm", str(filler)], check=True)
    await until(lambda: told("tier.relieved"))


async def test_vm_is_created_in_the_pool_assigned_to_its_tier_if_the_image_fits(
    storage: StorageServer, small: Pool
) -> None:
    images = storage.server.data_dir / "images"
    (images / "big.raw").write_bytes(bytes(33 * MIB))
    big = VMCreate(name="too-big", image="big", tier="cold", memory_bytes=32 * MIB, start=False)
    with pytest.raises(errors.Conflict, match=r"too-big needs 33 MiB, but cold \(small\) has .* free"):
        await storage.admin.call(vms.CREATE, body=big)
    operation = await storage.admin.call(vms.CREATE, body=msgspec.structs.replace(big, name="thin", image="empty"))
    await storage.succeeded(operation)
    assert [name for name in in_small(storage) if name.startswith("thin-")]
    assert {disk.tier for disk in (await storage.server.vm("thin")).disks} == {"cold"}
    ours = next(pool for pool in storage.libvirt.listAllStoragePools() if pool.name().endswith("-cold"))
    assert not ours.isActive()  # it was not needed


@pytest.mark.parametrize("start", [False, True], ids=["stopped", "running"])
async def test_tier_that_fills_up_during_a_move_leaves_the_volume_in_place(
    storage: StorageServer, small: Pool, start: bool
) -> None:
    name = f"full-{start}".lower()
    volume = await storage.create_volume(name)
    vm = await storage.vm(name, volume, start=start)
    pool = storage.libvirt.storagePoolLookupByName("small")  # the check uses the free space of the last read
    filler = (
        "<volume><name>thief</name><capacity unit='MiB'>20</capacity><allocation unit='MiB'>20</allocation></volume>"
    )
    thief = pool.createXML(filler, 0)
    ended = await storage.ended(await move(storage, volume))
    assert ended.state is OperationState.FAILED
    assert ended.problem is not None
    assert "space" in ended.problem.detail or "full" in ended.problem.detail
    thief.delete(0)
    await storage.server.parts.inventory.refresh_volumes(volume.host)
    assert not [left for left in in_small(storage) if left.startswith(name)]
    now = await storage.volume(name)
    assert (now.tier, now.vm) == ("hot", vm.id)
    expect_content(storage, storage.path(now))
    assert (await storage.server.vm(name)).state == ("running" if start else "stopped")


async def test_pool_lost_during_a_live_move_loses_nothing(
    storage: StorageServer, small: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_sync, "VOLUMES_EVERY", 10**9)
    volume = await storage.create_volume("gone")
    await storage.vm("gone", volume, start=True)
    operation = await move(storage, volume, bandwidth_bytes_s=MIB)

    async def in_progress() -> bool | None:
        now = await storage.admin.call(operations.GET, operation_id=operation.id)
        return True if now.progress else None

    await until(in_progress)
    away = storage.libvirt.storagePoolLookupByName("small")
    await deactivate(away)
    await storage.admin.call(operations.CANCEL, operation_id=operation.id)
    now = await storage.volume("gone")
    assert (now.tier, now.operation_id) == ("hot", None)
    expect_content(storage, storage.path(now))
    with pytest.raises(errors.Conflict, match=r"cold has no active pool on .*"):
        await move(storage, now)
    away.create(0)
    assert "gone" in in_small(storage)  # it could not be removed

    async def copy_removed() -> bool | None:
        return None if "gone" in in_small(storage) else True

    await until(copy_removed)  # it is removed when the pool is back

    async def listed_once() -> bool | None:
        named = [v.id for v in (await storage.admin.call(volumes.LIST)).items if v.name == "gone"]
        return True if named == [volume.id] else None

    await until(listed_once)  # it leaves the list, without another read of all volumes
    assert (await storage.admin.call(volumes.GET, volume_id=volume.id)).tier == "hot"
    expect_content(storage, storage.path(now))


async def test_pool_lost_during_the_copy_of_a_stopped_disk_loses_nothing(
    storage: StorageServer, small: Pool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    volume = await storage.create_volume("off")
    vm = await storage.vm("off", volume)
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "volume.move:made=pause")
    monkeypatch.setenv("NOVACRON_FAILPOINT_RELEASE", str(tmp_path / "go"))
    operation = await move(storage, volume)

    away = storage.libvirt.storagePoolLookupByName("small")

    async def pool_destroyed() -> bool | None:
        with suppress(libvirt.libvirtError):  # not while the file is being created
            return True if "off" in in_small(storage) and away.destroy() == 0 else None
        return None

    await until(pool_destroyed)
    (tmp_path / "go").touch()
    ended = await storage.ended(operation)
    assert ended.state is OperationState.FAILED
    assert ended.problem is not None
    assert "not active" in ended.problem.detail
    now = await storage.volume("off")
    assert (now.tier, now.vm) == ("hot", vm.id)
    expect_content(storage, storage.path(now))
    away.create(0)

    async def copy_removed() -> bool | None:
        names = [v.id for v in (await storage.admin.call(volumes.LIST)).items if v.name == "off"]
        return True if "off" not in in_small(storage) and names == [volume.id] else None

    await until(copy_removed, timeout_s=60)


FILLS = """
while :; do dd if=/dev/urandom of=/dev/vda bs=1M count=64 conv=notrunc oflag=direct 2>/dev/null; done
"""


@pytest.mark.qemu
async def test_vm_that_a_full_disk_has_paused_says_so_and_goes_on_when_there_is_room(
    storage: StorageServer, small: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(power, "PAUSED_AGAIN_S", 5.0)
    await asyncio.to_thread(add_image, storage.server.data_dir / "images", "fills", FILLS)
    body = vms.VMCreate(name="fills", image="fills", memory_bytes=160 * MIB, tier="cold")
    vm_id = (await storage.succeeded(await storage.admin.call(vms.CREATE, body=body))).target.id

    async def paused() -> bool | None:
        vm = await storage.server.vm("fills")
        return True if (vm.state, vm.reason) == (vms.State.PAUSED, "no space left for vda") else None

    await until(paused, 120)
    ended = await storage.ended(await storage.admin.call(vms.RESUME, vm_id=vm_id))
    assert ended.problem is not None
    assert ended.problem.detail == "the VM is paused again: no space left for vda"
    enter = ["nsenter", "-m", "-t", str(storage.daemon._process.pid)]  # type: ignore[union-attr]
    subprocess.run([*enter, "mount", "-o", "remount,size=160m", str(storage.server.data_dir / "small")], check=True)
    await storage.succeeded(await storage.admin.call(vms.RESUME, vm_id=vm_id))
    assert (await storage.server.vm("fills")).state is vms.State.RUNNING
