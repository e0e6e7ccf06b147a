"""A volume whose format cannot grow is refused at once, and no path of the host reaches the operator."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from novacron_core import errors
from novacron_core.api import vms, volumes
from novacron_core.api.volumes import VolumeResize
from tests.support.storage import MIB, StorageServer

pytestmark = pytest.mark.asyncio(loop_scope="module")


def add_old_image(folder: Path, name: str, *, snapshots: int) -> None:
    """Add an image of 64 MiB in version 2 of the format."""
    path = folder / f"{name}.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", "compat=0.10", path, "64M"], check=True)
    for number in range(snapshots):
        subprocess.run(["qemu-img", "snapshot", "-c", f"s{number}", path], check=True)


async def test_volume_that_cannot_grow_is_refused_until_its_format_is_newer(storage: StorageServer) -> None:
    add_old_image(storage.server.data_dir / "images", "old2", snapshots=2)
    body = vms.VMCreate(name="grown", image="old2", memory_bytes=32 * MIB, start=False)
    await storage.succeeded(await storage.admin.call(vms.CREATE, body=body))
    vm = await storage.server.vm("grown")
    disk = next(v for v in (await storage.admin.call(volumes.LIST)).items if v.vm == vm.id)
    grow = VolumeResize(size_bytes=128 * MIB)
    with pytest.raises(errors.Conflict, match="contains 2 snapshots in version 2") as refused:
        await storage.admin.call(volumes.RESIZE, body=grow, volume_id=disk.id)
    assert str(storage.path(disk).parent) not in refused.value.detail
    subprocess.run(["qemu-img", "amend", "-o", "compat=1.1", storage.path(disk)], check=True)
    host = storage.server.parts.inventory.require_host_up(None)
    await storage.server.parts.inventory.refresh_volumes(host.host_id)
    await storage.succeeded(await storage.admin.call(volumes.RESIZE, body=grow, volume_id=disk.id))
    assert (await storage.volume(disk.name)).size_bytes == 128 * MIB


async def test_refusal_of_qemu_img_on_the_host_has_no_path_of_it(
    storage: StorageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host whose files this server cannot read: the refusal is libvirt's."""
    add_old_image(storage.server.data_dir / "images", "old", snapshots=1)
    body = vms.VMCreate(name="remote", image="old", memory_bytes=32 * MIB, start=False)
    await storage.succeeded(await storage.admin.call(vms.CREATE, body=body))
    vm = await storage.server.vm("remote")
    disk = next(v for v in (await storage.admin.call(volumes.LIST)).items if v.vm == vm.id)
    host = storage.server.parts.inventory.require_host_up(None)

    async def unseen(_facts: object) -> bool:
        return False

    monkeypatch.setattr(host.storage, "sees", unseen)
    grow = VolumeResize(size_bytes=128 * MIB)
    ended = await storage.ended(await storage.admin.call(volumes.RESIZE, body=grow, volume_id=disk.id))
    assert ended.problem is not None
    assert "its disk has snapshots inside" in ended.problem.detail
    assert "/" not in ended.problem.detail
