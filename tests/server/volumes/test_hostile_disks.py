"""What a guest writes into its disk, and what lies in a pool's folder, opens no file of the host and stops nothing."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import libvirt
import pytest

from novacron_core import errors
from novacron_core.api import vms, volumes
from novacron_core.api.operations import OperationState
from novacron_core.api.volumes import Volume, VolumeAttach, VolumeClone, VolumeCreate, VolumeResize
from tests.support.storage import MIB, StorageServer, digest, move, only

pytestmark = pytest.mark.asyncio(loop_scope="module")


def as_opened(storage: StorageServer, vm: vms.VM, name: str) -> set[str]:
    """The formats that QEMU is told for a disk: as the VM runs, and as it is defined."""
    domain = storage.libvirt.lookupByUUIDString(vm.id)
    texts = domain.XMLDesc(0), domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    return {m[1] for text in texts for m in re.finditer(rf"<driver[^>]* type='(\w+)'[^>]*/>\s*<source file='[^']*/{name}'", text)}  # fmt: skip


async def disguised(storage: StorageServer, name: str, secret: Path) -> Volume:
    """A raw volume whose guest has written a qcow2 head into it that leans on a file of the host."""
    secret.write_bytes(b"the host's own" * 40_000)
    await storage.done(
        await storage.admin.call(volumes.CREATE, body=VolumeCreate(name=name, size_bytes=8 * MIB, format="raw"))
    )
    volume, head = await storage.volume(name), secret.with_suffix(".head")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(secret), str(head)], check=True)
    with storage.path(volume).open("r+b") as disk:
        disk.write(head.read_bytes())
    storage.libvirt.storagePoolLookupByName(volume.pool).refresh(0)
    assert (
        "qcow2" in storage.libvirt.storageVolLookupByPath(str(storage.path(volume))).XMLDesc()
    )  # libvirt falls for it
    await storage.server.parts.inventory.refresh_volumes(volume.host)
    return await storage.volume(name)


async def test_a_raw_disk_stays_raw_whatever_its_guest_writes_into_it(storage: StorageServer) -> None:
    volume = await disguised(storage, "mask", storage.server.data_dir / "secret")
    assert (volume.format, volume.backing_file, volume.size_bytes) == ("raw", "", 8 * MIB)
    before = digest(storage.path(volume))
    vm = await storage.vm("vm-mask", volume)
    assert as_opened(storage, vm, "mask") == {"raw"}
    with pytest.raises(AssertionError, match="is raw, but libvirt detects qcow2: grow it while its VM runs"):
        body = VolumeResize(size_bytes=16 * MIB)
        await storage.done(await storage.admin.call(volumes.RESIZE, body=body, volume_id=volume.id))
    await storage.done(
        await storage.admin.call(volumes.CLONE, body=VolumeClone(name="copy-of-mask"), volume_id=volume.id)
    )
    copy = await storage.volume("copy-of-mask")
    assert (copy.format, digest(storage.path(copy))) == ("raw", before)
    await storage.done(await move(storage, volume))
    only(storage, volume, "cold")
    await storage.done(await storage.admin.call(volumes.DETACH, volume_id=volume.id))
    await storage.done(await storage.admin.call(vms.START, vm_id=vm.id))
    for disk in (volume, copy):
        await storage.done(await storage.admin.call(volumes.ATTACH, body=VolumeAttach(vm=vm.id), volume_id=disk.id))
        assert as_opened(storage, vm, disk.name) == {"raw"}
    await storage.done(await move(storage, volume, "warm"))  # and copied by QEMU
    assert as_opened(storage, vm, "mask") == {"raw"}
    assert digest(storage.path(await storage.volume("mask"))) == before


async def test_what_somebody_puts_into_a_pools_folder_stops_nothing(storage: StorageServer) -> None:
    volume = await storage.made("plain")
    folder, secret = storage.path(volume).parent, storage.server.data_dir / "shadow"
    secret.write_bytes(b"s" * MIB)
    os.mkfifo(folder / "pipe")
    os.mknod(folder / "zero", 0o600 | 0o020000, os.makedev(1, 5))
    (folder / "link").symlink_to(secret)
    (folder / "dangling").symlink_to("/nowhere")
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "folder").mkdir()
    (folder / "odd \x1b]52;c;eA==\x07 [red]").write_bytes(b"x")
    (folder / "huge").touch()
    os.truncate(folder / "huge", 1 << 42)
    try:
        storage.libvirt.storagePoolLookupByName(volume.pool).refresh(0)
        await storage.server.parts.inventory.refresh_volumes(volume.host)
        assert (await storage.volume("plain")).id == volume.id
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
        await storage.done(await move(storage, volume))
        await storage.done(await move(storage, volume, "hot"))
    finally:
        for path in folder.iterdir():
            if path.name in ("pipe", "zero", "link", "dangling", "loop", "huge") or path.name.startswith("odd"):
                path.unlink()
        (folder / "folder").rmdir()


async def test_a_volume_that_became_a_link_is_not_copied(storage: StorageServer) -> None:
    volume, other = await storage.made("was-file"), await storage.made("elsewhere")
    path = storage.path(volume)
    path.unlink()
    path.symlink_to(storage.path(other).rename(storage.server.data_dir / "not-in-the-pool"))
    body = VolumeClone(name="loot")
    ended = await storage.ended(await storage.admin.call(volumes.CLONE, body=body, volume_id=volume.id))
    assert ended.state is OperationState.FAILED
    assert ended.problem is not None
    assert "was-file is not a regular file" in ended.problem.detail
    assert not [name for _, name in storage.files() if name.startswith("loot")]
