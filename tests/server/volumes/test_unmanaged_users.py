"""An unmanaged VM uses a managed volume, however its XML refers to it: the volume is not changed."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from novacron_core import errors
from novacron_core.api import vms, volumes
from novacron_core.api.base import ListQuery
from novacron_core.api.events import Event
from novacron_core.api.operations import Operation, OperationState
from novacron_core.api.volumes import HIDDEN_VM, Volume, VolumeAttach, VolumeMove, VolumeResize
from novacron_core.client import Client, stream
from novacron_core.values.roles import Role
from novacron_server.inventory import host_sync
from novacron_server.stream.inventory_frames import inventory_frames
from novacron_server.volumes.users import VolumeUsers
from tests.support.storage import MIB, StorageServer
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")
DOMAIN = """<domain type="qemu"><name>{name}</name><memory unit="MiB">32</memory>
<os><type arch="x86_64" machine="q35">hvm</type>{boot}</os><devices>{disk}</devices></domain>"""
DISK = """<disk type="{kind}" device="disk"><driver name="qemu" type="qcow2"/><source {source}/><target dev="vda"
bus="virtio"/></disk>"""


def by_path(storage: StorageServer, volume: Volume) -> dict[str, str]:
    return {"disk": DISK.format(kind="file", source=f'file="{storage.path(volume)}"')}


def by_pool(storage: StorageServer, volume: Volume) -> dict[str, str]:
    return {"disk": DISK.format(kind="volume", source=f'pool="{volume.pool}" volume="{volume.name}"')}


def by_link(storage: StorageServer, volume: Volume) -> dict[str, str]:
    link = storage.server.data_dir / f"way-to-{volume.pool}"
    if not link.exists():
        link.symlink_to(storage.path(volume).parent)
    return {"disk": DISK.format(kind="file", source=f'file="{link}/{volume.name}"')}


def as_kernel(storage: StorageServer, volume: Volume) -> dict[str, str]:
    return {"disk": "", "boot": f"<kernel>{storage.path(volume)}</kernel>"}


def by_overlay(storage: StorageServer, volume: Volume) -> dict[str, str]:
    """The volume is below an overlay of an overlay, outside all pools."""
    middle, top = (storage.server.data_dir / f"{volume.name}-{part}" for part in ("middle", "top"))
    for image, below in ((middle, f"json:{{\"driver\":\"qcow2\",\"file\":{{\"driver\":\"file\",\"filename\":\"{storage.path(volume)}\"}}}}"),
                         (top, middle.name)):  # fmt: skip
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", below, str(image)], check=True)
    return {"disk": DISK.format(kind="file", source=f'file="{top}"')}


REFERENCES: list[Callable[[StorageServer, Volume], dict[str, str]]] = [by_path, by_pool, by_link, as_kernel, by_overlay]


@contextmanager
def unmanaged(storage: StorageServer, name: str, boot: str = "", disk: str = "") -> Iterator[None]:
    domain = storage.libvirt.defineXML(DOMAIN.format(name=name, boot=boot, disk=disk))
    try:
        yield
    finally:
        domain.undefine()


def changes_of(
    storage: StorageServer, volume: Volume, vm: vms.VM, client: Client | None = None
) -> dict[str, Callable[[], Awaitable[Operation]]]:
    """The changes that must be refused for a volume in use, as calls by name."""
    call, volume_id = (client or storage.admin).call, volume.id
    return {
        "delete": lambda: call(volumes.DELETE, volume_id=volume_id),
        "resize": lambda: call(volumes.RESIZE, body=VolumeResize(size_bytes=96 * MIB), volume_id=volume_id),
        "move": lambda: call(volumes.MOVE, body=VolumeMove(tier="cold"), volume_id=volume_id),
        "attach": lambda: call(volumes.ATTACH, body=VolumeAttach(vm=vm.id), volume_id=volume_id),
    }


@pytest.mark.parametrize("reference", REFERENCES, ids=lambda reference: reference.__name__)
async def test_unmanaged_vm_that_the_inventory_has_not_seen_blocks_changes(
    storage: StorageServer, monkeypatch: pytest.MonkeyPatch, reference: Any
) -> None:
    name = f"theirs-{reference.__name__}".replace("_", "-")
    volume, vm = await storage.create_volume(name), await storage.vm(f"vm-{name}")
    monkeypatch.setattr(host_sync.HostSync, "hint", lambda *_: None)  # the inventory does not notice the VM
    monkeypatch.setattr(host_sync.HostSync, "_read_all", _read_nothing)
    before = storage.path(volume).stat()
    with unmanaged(storage, f"x-{name}", **reference(storage, volume)):
        for what, request in changes_of(storage, volume, vm).items():
            with pytest.raises(errors.Conflict, match=f"x-{name}"):
                await request()
            assert (await storage.volume(name)).operation_id is None, what
        with pytest.raises(errors.NotFound):
            await storage.admin.call(vms.GET, vm_id=storage.libvirt.lookupByName(f"x-{name}").UUIDString())
    after = storage.path(volume).stat()
    assert (after.st_ino, after.st_size) == (before.st_ino, before.st_size)
    await storage.succeeded(await changes_of(storage, volume, vm)["resize"]())
    await storage.succeeded(await changes_of(storage, volume, vm)["move"]())
    await storage.succeeded(await changes_of(storage, await storage.volume(name), vm)["delete"]())


async def _read_nothing(_sync: object) -> None:
    return


@pytest.mark.parametrize("what", ["delete", "move", "resize"])
async def test_change_checked_before_a_move_is_refused_after_it(
    storage: StorageServer, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    volume, vm = await storage.create_volume(f"race-{what}"), await storage.vm(f"vm-race-{what}")
    real = VolumeUsers.only

    async def slow(*arguments: Any) -> Any:
        found = await real(*arguments)
        monkeypatch.setattr(VolumeUsers, "only", real)
        await storage.succeeded(
            await storage.admin.call(volumes.MOVE, body=VolumeMove(tier="warm"), volume_id=volume.id)
        )
        return found

    monkeypatch.setattr(VolumeUsers, "only", slow)
    with pytest.raises(errors.Conflict, match="has changed: refresh"):
        await changes_of(storage, volume, vm)[what]()
    now = await storage.volume(f"race-{what}")
    assert (now.id, now.tier, now.size_bytes, now.operation_id) == (volume.id, "warm", 64 * MIB, None)
    assert {item for item in storage.files() if item[1] == now.name} == {("warm", now.name)}


@pytest.mark.parametrize("what", ["delete", "resize", "attach"])
async def test_unmanaged_vm_defined_after_acceptance_fails_the_operation(
    storage: StorageServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, what: str
) -> None:
    volume, vm = await storage.create_volume(f"late-{what}"), await storage.vm(f"vm-late-{what}")
    monkeypatch.setattr(host_sync.HostSync, "hint", lambda *_: None)
    monkeypatch.setenv("NOVACRON_FAILPOINTS", f"volume.{what}:began=pause")
    monkeypatch.setenv("NOVACRON_FAILPOINT_RELEASE", str(tmp_path / "go"))
    operation: Operation = await changes_of(storage, volume, vm)[what]()
    with unmanaged(storage, f"x-late-{what}", **by_overlay(storage, volume)):
        (tmp_path / "go").touch()
        ended = await storage.ended(operation)
        assert ended.state is OperationState.FAILED
        assert ended.problem is not None
        assert "in use by another user's VM: it is the backing file of its disk vda" in ended.problem.detail
    now = await storage.volume(f"late-{what}")
    assert (now.size_bytes, now.vm, now.operation_id) == (64 * MIB, None, None)
    assert storage.path(now).exists()
    assert str(storage.path(now)) not in storage.disk_paths(vm.id)[1]


async def test_vm_whose_disk_is_a_backing_file_is_not_deleted_with_disks(storage: StorageServer) -> None:
    volume = await storage.create_volume("base")
    vm = await storage.vm("vm-base", volume)
    query, call = vms.DeleteQuery(disks=True), storage.admin.call
    with unmanaged(storage, "x-base", **by_overlay(storage, volume)):
        ended = await storage.ended(await call(vms.DELETE, query=query, if_match=vm.generation, vm_id=vm.id))
        assert ended.state is OperationState.FAILED
        assert ended.problem is not None
        assert "base is in use by another user's VM" in ended.problem.detail
        assert str(storage.path(volume)) in storage.disk_paths(vm.id)[1]
    vm = await storage.server.vm("vm-base")
    await storage.succeeded(await call(vms.DELETE, query=query, if_match=vm.generation, vm_id=vm.id))
    assert ("hot", "base") not in storage.files()


async def test_refusal_does_not_name_a_vm_that_the_caller_may_not_see(storage: StorageServer) -> None:
    volume, vm = await storage.create_volume("hidden-use"), await storage.vm("vm-hidden-use")
    bob = await storage.server.member("bob", Role.OPERATOR)
    with unmanaged(storage, "TOPSECRET", **by_overlay(storage, volume)):
        for request in changes_of(storage, volume, vm, bob).values():
            with pytest.raises(errors.Conflict, match="hidden-use is in use by another user's VM: it is") as refused:
                await request()
            assert "TOPSECRET" not in refused.value.detail
    await bob.close()


async def test_id_of_a_vm_that_a_reader_may_not_see_is_hidden(storage: StorageServer) -> None:
    """In lists, in single reads, in the inventory and in events; an administrator sees it."""
    volume = await storage.create_volume("hidden-id")
    carol = await storage.server.member("carol", Role.OPERATOR)
    updates = stream(carol)
    seen: list[str] = []

    async def follow() -> None:
        async for update in updates:
            if isinstance(update, Event) and update.target.id == volume.id and (now := update.decoded()) is not None:
                seen.append(str(now.vm))

    following = asyncio.create_task(follow())
    with unmanaged(storage, "TOPSECRET-id", **by_path(storage, volume)):
        uuid = storage.libvirt.lookupByName("TOPSECRET-id").UUIDString()

        async def used() -> bool | None:
            return True if (await storage.volume("hidden-id")).vm == uuid else None

        async def told() -> bool | None:
            return True if seen else None

        await until(used)
        assert (await carol.call(volumes.GET, volume_id=volume.id)).vm == HIDDEN_VM
        page = await carol.call(volumes.LIST, query=ListQuery(page_size=1000))
        assert {found.name: found.vm for found in page.items}["hidden-id"] == HIDDEN_VM
        await until(told)
        assert set(seen) == {HIDDEN_VM}
        inventory = storage.server.parts.inventory
        member = await storage.server.parts.access.authenticate(carol.credentials.token)
        assert uuid.encode() not in b"".join(inventory_frames(inventory, member))
    following.cancel()
    await carol.close()


async def test_backing_file_of_a_volume_is_not_changed(storage: StorageServer) -> None:
    volume, vm = await storage.create_volume("below"), await storage.vm("vm-below")
    top: Path = storage.path(volume).parent / "above"
    await _overlay(top, storage.path(volume))
    storage.libvirt.storagePoolLookupByName(volume.pool).refresh(0)
    await storage.server.parts.inventory.refresh_volumes(volume.host)
    for request in changes_of(storage, volume, vm).values():
        with pytest.raises(errors.Conflict, match="below is the backing file of above"):
            await request()
    top.unlink()


async def _overlay(top: Path, below: Path) -> None:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(below), str(top)], check=True)
    os.sync()


async def test_disk_referenced_by_pool_is_moved_and_detached(storage: StorageServer) -> None:
    volume = await storage.create_volume("named")
    vm = await storage.vm("vm-named", volume)
    domain = storage.libvirt.lookupByUUIDString(vm.id)
    text, path = domain.XMLDesc(), str(storage.path(volume))
    start = text.rindex("<disk", 0, text.index(path))
    disk_xml = text[start:].replace("type='file'", "type='volume'", 1)
    disk_xml = disk_xml.replace(f"file='{path}'", f"pool='{volume.pool}' volume='{volume.name}'", 1)
    storage.libvirt.defineXML(text[:start] + disk_xml)
    assert path not in storage.disk_paths(vm.id)[1]

    async def seen() -> bool | None:
        return True if (await storage.volume("named")).vm == vm.id else None

    await until(seen)
    await storage.succeeded(await changes_of(storage, volume, vm)["move"]())
    moved = await storage.volume("named")
    assert (moved.tier, moved.vm) == ("cold", vm.id)
    assert str(storage.path(moved)) in storage.disk_paths(vm.id)[1]
    await storage.succeeded(await storage.admin.call(volumes.DETACH, volume_id=volume.id))
    assert (await storage.volume("named")).vm is None
