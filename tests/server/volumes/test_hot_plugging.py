"""Disks are attached, grown and detached while a real guest runs: guest, libvirt and NovaCron agree."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import libvirt_qemu  # type: ignore[import-untyped]
import pytest
import pytest_asyncio

from novacron_core import errors
from novacron_core.api import operations, vms, volumes
from novacron_core.api.operations import Operation, OperationState
from novacron_core.api.volumes import Volume, VolumeAttach, VolumeResize
from novacron_core.values.tiers import TierName
from novacron_server.hypervisor import host_disks
from novacron_server.hypervisor.vms import disks
from novacron_server.hypervisor.xml import domain
from tests.support import writing_guest
from tests.support.busy_guest import Serial
from tests.support.storage import MIB, StorageServer, expect_content, expect_only_file, move, run
from tests.support.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.qemu]
WATCH = """
last= n=0
while :; do
  now=; for disk in /sys/block/vd*; do now="$now ${disk##*/}=$(cat $disk/size)"; done
  [ "$now" = "$last" ] && [ $((n % 20)) -ne 0 ] || echo "DISKS$now;" > /dev/console
  last=$now; n=$((n + 1)); usleep 50000
done
"""
"""Prints the guest's disks when they change and every second, because nothing may have read the first output."""
SECTORS = 64 * MIB // 512


class Guest:
    """A guest that prints its disks on the serial console."""

    def __init__(self, storage: StorageServer, vm: vms.VM) -> None:
        self.storage, self.vm = storage, vm
        self.domain = storage.libvirt.lookupByUUIDString(vm.id)
        self.serial = Serial(storage.daemon.uri, vm.name)

    async def has(self, **disks: int) -> None:
        """Wait until the guest reports exactly these disks besides its first, as name=sectors."""
        text = "".join(f" {name}={sectors}" for name, sectors in disks.items())
        await asyncio.to_thread(self.serial.see, rf"DISKS vda=\d+{text};\s*$")

    def paths(self) -> tuple[set[str], set[str]]:
        return self.storage.disk_paths(self.vm.id)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guest(storage: StorageServer) -> Any:
    await asyncio.to_thread(writing_guest.add_image, storage.server.data_dir / "images", "watch", WATCH)
    made = Guest(storage, await writing_guest.started(storage, "watcher", "watch"))
    yield made
    made.domain.destroy()  # this closes its console, too


async def create_empty(storage: StorageServer, name: str) -> Volume:
    body = volumes.VolumeCreate(name=name, size_bytes=64 * MIB)
    await storage.succeeded(await storage.admin.call(volumes.CREATE, body=body))
    return await storage.volume(name)


async def attach(storage: StorageServer, volume: Volume, vm: vms.VM) -> Operation:
    return await storage.admin.call(volumes.ATTACH, body=VolumeAttach(vm=vm.id), volume_id=volume.id)


async def detach(storage: StorageServer, volume: Volume) -> Operation:
    return await storage.admin.call(volumes.DETACH, volume_id=volume.id)


async def test_two_disks_are_attached_grown_and_detached_while_the_guest_runs(
    storage: StorageServer, guest: Guest
) -> None:
    await guest.has()
    one, two = await create_empty(storage, "hot-1"), await create_empty(storage, "hot-2")
    await storage.succeeded(await attach(storage, one, guest.vm))
    await guest.has(vdb=SECTORS)
    await storage.succeeded(await attach(storage, two, guest.vm))
    await guest.has(vdb=SECTORS, vdc=SECTORS)
    live, persistent = guest.paths()
    assert live == persistent >= {str(storage.path(one)), str(storage.path(two))}
    with pytest.raises(errors.Conflict, match="hot-1 is already attached to watcher"):
        await attach(storage, one, guest.vm)

    body = VolumeResize(size_bytes=96 * MIB)
    await storage.succeeded(await storage.admin.call(volumes.RESIZE, body=body, volume_id=two.id))
    await guest.has(vdb=SECTORS, vdc=SECTORS * 3 // 2)
    assert (await storage.volume("hot-2")).size_bytes == 96 * MIB

    await storage.succeeded(await detach(storage, one))
    await guest.has(vdc=SECTORS * 3 // 2)
    live, persistent = guest.paths()
    assert live == persistent
    assert str(storage.path(one)) not in live
    assert (await storage.volume("hot-1")).vm is None
    assert [disk.target for disk in (await storage.server.vm("watcher")).disks] == ["vda", "vdc"]
    await storage.succeeded(await detach(storage, two))
    await guest.has()


async def test_detach_can_be_repeated_after_a_late_release(
    storage: StorageServer, guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = await create_empty(storage, "late")
    await storage.succeeded(await attach(storage, volume, guest.vm))
    await guest.has(vdb=SECTORS)
    real = disks.unplug

    def unplug_suspended(connection: Any, uuid: str, path: str) -> None:
        connection.lookupByUUIDString(uuid).suspend()
        real(connection, uuid, path)

    monkeypatch.setattr(disks, "unplug", unplug_suspended)
    monkeypatch.setattr(host_disks, "_UNPLUG_S", 0.0)
    ended = await storage.ended(await detach(storage, volume))
    assert ended.state is OperationState.FAILED
    assert ended.problem is not None
    assert "has not released" in ended.problem.detail
    assert (await storage.volume("late")).vm == guest.vm.id
    with pytest.raises(errors.Conflict, match="watcher is paused: resume it first"):
        await detach(storage, volume)

    guest.domain.resume()
    await guest.has()

    async def seen() -> bool | None:
        vm = await storage.server.vm("watcher")
        return True if [disk.target for disk in vm.disks] == ["vda"] and vm.state == "running" else None

    await until(seen)
    await storage.server.parts.inventory.refresh_volumes(volume.host)
    assert str(storage.path(volume)) in guest.paths()[1]  # the disk would be attached at the next start
    assert (await storage.volume("late")).vm == guest.vm.id
    monkeypatch.undo()
    await storage.succeeded(await detach(storage, volume))
    assert str(storage.path(volume)) not in guest.paths()[1]
    assert (await storage.volume("late")).vm is None


async def test_disk_that_the_guest_releases_during_its_move_keeps_one_file(
    storage: StorageServer, guest: Guest
) -> None:
    """As a late answer to a detach that was told as failed. QEMU then goes on copying, and libvirt knows no job of it; or,
    on a busy machine, it drops the rate limit with the device and completes the copy before libvirt hears of its end."""
    volume = await storage.create_volume("let-go")
    # QEMU copies the first 16 MiB at once, whatever the rate.
    await run("qemu-io", "-f", "qcow2", "-c", "write 25M 15M", "-c", "write 50M 14M", str(storage.path(volume)))
    await storage.succeeded(await attach(storage, volume, guest.vm))
    await guest.has(vdb=SECTORS)
    operation = await move(storage, volume, bandwidth_bytes_s=MIB)

    async def copying() -> bool | None:
        now = await storage.admin.call(operations.GET, operation_id=operation.id)
        return True if now.progress else None

    await until(copying)
    alias = re.search(rf"<source file='{storage.path(volume)}'.*?<alias name='([^']+)'", guest.domain.XMLDesc(0), re.S)
    assert alias is not None
    request = json.dumps({"execute": "device_del", "arguments": {"id": alias[1]}})
    libvirt_qemu.qemuMonitorCommand(guest.domain, request, 0)
    await guest.has()
    ended = await storage.ended(operation)
    is_moved = ended.state is OperationState.SUCCEEDED
    assert is_moved or ended.state is OperationState.FAILED
    places: tuple[TierName, TierName] = ("cold", "hot") if is_moved else ("hot", "cold")
    here, there = places

    async def alone() -> bool | None:
        return (
            True if {item for item in storage.files() if item[1].startswith("let-go")} == {(here, "let-go")} else None
        )

    await until(alone)
    now = await storage.volume("let-go")
    assert (now.tier, now.operation_id) == (here, None)
    await storage.succeeded(await detach(storage, volume))
    await storage.succeeded(await move(storage, volume, there))
    expect_only_file(storage, volume, there)
    expect_content(storage, storage.path(await storage.volume("let-go")))


async def test_guest_that_does_not_release_a_disk_keeps_it(
    storage: StorageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = await create_empty(storage, "stuck")
    vm = await storage.vm("no-system", start=True)  # firmware does not respond to unplug requests
    await storage.succeeded(await attach(storage, volume, vm))
    monkeypatch.setattr(host_disks, "_UNPLUG_S", 0.5)
    ended = await storage.ended(await detach(storage, volume))
    assert ended.state is OperationState.FAILED
    assert ended.problem is not None
    assert "the guest has not released the disk: unmount it in the guest" in ended.problem.detail
    now = await storage.volume("stuck")
    assert (now.vm, now.operation_id) == (vm.id, None)
    assert [disk.target for disk in (await storage.server.vm("no-system")).disks] == ["vda", "vdb"]
    live, persistent = storage.disk_paths(vm.id)
    assert live == persistent >= {str(storage.path(volume))}
    await storage.succeeded(await storage.admin.call(vms.POWER_OFF, vm_id=vm.id))
    await storage.succeeded(await detach(storage, volume))
    assert (await storage.volume("stuck")).vm is None


async def test_attach_without_a_free_port_says_what_to_do(
    storage: StorageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = await create_empty(storage, "no-port")
    monkeypatch.setattr(domain, "_SPARE_PORTS", 0)
    vm = await storage.vm("old-vm", start=True)
    ended = await storage.ended(await attach(storage, volume, vm))
    assert ended.state is OperationState.FAILED
    assert ended.problem is not None
    assert "no free PCI slot for another disk: shut it down first" in ended.problem.detail
    live, persistent = storage.disk_paths(vm.id)
    assert str(storage.path(volume)) not in live | persistent
    assert (await storage.volume("no-port")).vm is None
    await storage.succeeded(await storage.admin.call(vms.POWER_OFF, vm_id=vm.id))
    await storage.succeeded(await attach(storage, volume, vm))
    await storage.succeeded(await storage.admin.call(vms.START, vm_id=vm.id))
    assert str(storage.path(volume)) in storage.disk_paths(vm.id)[0]
