"""Hostile disk contents and pool directories never open a file of the host, and never stop anything."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import libvirt
import pytest

from novacron_core import errors
from novacron_core.api import tiers, vms, volumes
from novacron_core.api.operations import OperationState
from novacron_core.api.volumes import Volume, VolumeAttach, VolumeClone, VolumeCreate, VolumeResize
from tests.support.storage import MIB, StorageServer, digest, expect_only_file, move, run

pytestmark = pytest.mark.asyncio(loop_scope="module")


def disk_formats(storage: StorageServer, vm: vms.VM, name: str) -> set[str]:
    """The formats set for a disk in the VM's live XML and in its definition."""
    domain = storage.libvirt.lookupByUUIDString(vm.id)
    texts = domain.XMLDesc(0), domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    return {m[1] for text in texts for m in re.finditer(rf"<driver[^>]* type='(\w+)'[^>]*/>\s*<source file='[^']*/{name}'", text)}  # fmt: skip


async def create_disguised(storage: StorageServer, name: str, secret: Path) -> Volume:
    """Create a raw volume with a qcow2 header in it, whose backing file is a file of the host."""
    secret.write_bytes(b"the host's own" * 40_000)
    await storage.succeeded(
        await storage.admin.call(volumes.CREATE, body=VolumeCreate(name=name, size_bytes=8 * MIB, format="raw"))
    )
    volume, header = await storage.volume(name), secret.with_suffix(".head")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(secret), str(header)], check=True)
    with storage.path(volume).open("r+b") as disk:
        disk.write(header.read_bytes())
    storage.libvirt.storagePoolLookupByName(volume.pool).refresh(0)
    assert (
        "qcow2" in storage.libvirt.storageVolLookupByPath(str(storage.path(volume))).XMLDesc()
    )  # libvirt detects qcow2
    await storage.server.parts.inventory.refresh_volumes(volume.host)
    return await storage.volume(name)


async def test_raw_disk_stays_raw_whatever_its_guest_writes(storage: StorageServer) -> None:
    volume = await create_disguised(storage, "mask", storage.server.data_dir / "secret")
    assert (volume.format, volume.backing_file, volume.size_bytes) == ("raw", "", 8 * MIB)
    before = digest(storage.path(volume))
    vm = await storage.vm("vm-mask", volume)
    assert disk_formats(storage, vm, "mask") == {"raw"}
    with pytest.raises(AssertionError, match="is raw, but libvirt detects qcow2: grow it while its VM runs"):
        body = VolumeResize(size_bytes=16 * MIB)
        await storage.succeeded(await storage.admin.call(volumes.RESIZE, body=body, volume_id=volume.id))
    await storage.succeeded(
        await storage.admin.call(volumes.CLONE, body=VolumeClone(name="copy-of-mask"), volume_id=volume.id)
    )
    copy = await storage.volume("copy-of-mask")
    assert (copy.format, digest(storage.path(copy))) == ("raw", before)
    await storage.succeeded(await move(storage, volume))
    expect_only_file(storage, volume, "cold")
    await storage.succeeded(await storage.admin.call(volumes.DETACH, volume_id=volume.id))
    await storage.succeeded(await storage.admin.call(vms.START, vm_id=vm.id))
    for disk in (volume, copy):
        await storage.succeeded(
            await storage.admin.call(volumes.ATTACH, body=VolumeAttach(vm=vm.id), volume_id=disk.id)
        )
        assert disk_formats(storage, vm, disk.name) == {"raw"}
    await storage.succeeded(await move(storage, volume, "warm"))  # this time QEMU copies it
    assert disk_formats(storage, vm, "mask") == {"raw"}
    assert digest(storage.path(await storage.volume("mask"))) == before


async def test_hostile_files_in_a_pool_directory_stop_nothing(storage: StorageServer) -> None:
    volume = await storage.create_volume("plain")
    folder, secret = storage.path(volume).parent, storage.server.data_dir / "shadow"
    secret.write_bytes(b"s" * MIB)
    os.mkfifo(folder / "pipe")
    os.mknod(folder / "zero", 0o600 | 0o020000, os.makedev(1, 5))
    (folder / "link").symlink_to(secret)
    (folder / "dangling").symlink_to("/nowhere")
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "folder").mkdir()
    await run("qemu-img", "create", "-q", "-f", "vhdx", str(folder / "other"), "16M")
    await run(
        "qemu-img", "create", "-q", "-u", "-f", "qcow2", "-F", "qcow2", "-b", "away", str(folder / "orphan"), "1M"
    )
    (folder / "odd \x1b]52;c;eA==\x07 [red]").write_bytes(b"x")
    (folder / "huge").touch()
    os.truncate(folder / "huge", 1 << 42)
    try:
        storage.libvirt.storagePoolLookupByName(volume.pool).refresh(0)
        await storage.server.parts.inventory.refresh_volumes(volume.host)
        assert (await storage.volume("plain")).id == volume.id
        assert (await storage.volume("other")).format == "vhdx"
        assert (await storage.volume("orphan")).note.startswith(f"its backing file {folder}/away is missing")
        pool = (await storage.three_pools())["hot"]
        assert next(tier.volumes for tier in (await storage.admin.call(tiers.LIST)).items if tier.name == "hot") == (
            pool.volumes
        ), "a folder counts in neither"
        for name in ("pipe", "zero", "link", "dangling", "loop", "folder"):
            body, target = VolumeCreate(name=name, size_bytes=MIB, format="raw"), folder / name
            before = target.lstat()
            try:
                ended = await storage.ended(await storage.admin.call(volumes.CREATE, body=body))
            except errors.Conflict as e:
                assert "named" in e.detail
            else:
                assert ended.state is OperationState.FAILED, name
            assert (target.lstat().st_ino, target.lstat().st_mode) == (before.st_ino, before.st_mode), name
        assert secret.read_bytes() == b"s" * MIB
        await storage.succeeded(await move(storage, volume))
        await storage.succeeded(await move(storage, volume, "hot"))
    finally:
        for path in folder.iterdir():
            if path.name in (
                "pipe",
                "zero",
                "link",
                "dangling",
                "loop",
                "huge",
                "other",
                "orphan",
            ) or path.name.startswith("odd"):
                path.unlink()
        (folder / "folder").rmdir()


async def test_volume_replaced_with_a_link_is_not_copied(storage: StorageServer) -> None:
    volume, other = await storage.create_volume("was-file"), await storage.create_volume("elsewhere")
    path = storage.path(volume)
    path.unlink()
    path.symlink_to(storage.path(other).rename(storage.server.data_dir / "not-in-the-pool"))
    body = VolumeClone(name="loot")
    ended = await storage.ended(await storage.admin.call(volumes.CLONE, body=body, volume_id=volume.id))
    assert ended.state is OperationState.FAILED
    assert ended.problem is not None
    assert "was-file is not a regular file" in ended.problem.detail
    assert not [name for _, name in storage.files() if name.startswith("loot")]
