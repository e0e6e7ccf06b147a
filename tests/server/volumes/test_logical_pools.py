"""Volumes of a logical pool, on libvirt's test driver: what can be done with them, and what is refused. No machine that
runs these tests has device-mapper, so nothing here is about LVM itself."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import libvirt
import pytest

from novacron_core import errors
from novacron_core.api import pools, vms, volumes
from novacron_core.api.operations import Operation, OperationState
from novacron_core.api.pools import Pool, PoolTier
from novacron_core.api.volumes import Volume, VolumeAttach, VolumeClone, VolumeCreate, VolumeMove, VolumeResize
from novacron_core.values.sizes import MIB
from novacron_server.volumes.placement import check_block_volume
from tests.support.requests import pools_named, three_pools
from tests.support.server import LiveServer
from tests.support.waiting import until

LOGICAL = """<pool type='logical'><name>vg</name><source><device path='/dev/sdz'/><name>vg</name></source>
<target><path>/dev/vg</path></target></pool>"""
OUTSIDE = "<volume><name>outside</name><capacity>8388608</capacity><allocation>8388608</allocation></volume>"


async def succeeded(server: LiveServer, operation: Operation) -> Operation:
    ended = await server.ended(operation)
    assert ended.state is OperationState.SUCCEEDED, ended.problem
    return ended


async def find(server: LiveServer, name: str) -> Volume | None:
    return next((v for v in (await server.admin.call(volumes.LIST)).items if v.name == name), None)


@pytest.fixture
async def vg(server: LiveServer, libvirt_connection: libvirt.virConnect) -> Pool:
    """The only pool of the tier cold that is active, with a volume that was created outside NovaCron."""
    managed = await three_pools(server)
    pool = libvirt_connection.storagePoolDefineXML(LOGICAL, 0)
    pool.create(0)
    pool.createXML(OUTSIDE, 0)
    cold = next(pool for pool in managed.values() if pool.tier == "cold")
    libvirt_connection.storagePoolLookupByName(cold.name).destroy()

    async def seen() -> Pool | None:
        found = await pools_named(server)
        return None if found[cold.name].active else found.get("vg")

    shown = await until(seen)
    await succeeded(server, await server.admin.call(pools.SET_TIER, body=PoolTier(tier="cold"), pool_id=shown.id))
    return (await pools_named(server))["vg"]


async def create(server: LiveServer, name: str = "data", **more: str) -> Volume:
    body = VolumeCreate(name=name, size_bytes=8 * MIB, format="raw", **more)  # type: ignore[arg-type]
    await succeeded(server, await server.admin.call(volumes.CREATE, body=body))
    made = await find(server, name)
    assert made is not None
    return made


async def test_pool_and_its_volumes_are_shown(server: LiveServer, vg: Pool) -> None:
    assert (vg.type, vg.tier, vg.path) == ("logical", "cold", "/dev/vg")
    outside = await find(server, "outside")
    assert outside is not None
    assert (outside.unmanaged, outside.tier, outside.size_bytes, outside.allocated_bytes) == (
        True,
        "cold",
        8 * MIB,
        8 * MIB,
    )


async def test_raw_volume_has_all_of_its_room_and_is_attached_as_a_block_device(
    server: LiveServer, vg: Pool, image: str, libvirt_connection: libvirt.virConnect
) -> None:
    volume = await create(server, tier="cold")
    assert (volume.pool, volume.allocated_bytes, volume.format) == ("vg", 8 * MIB, "raw")
    body = vms.VMCreate(name="web-01", image="empty", memory_bytes=32 * MIB, start=False)
    await succeeded(server, await server.admin.call(vms.CREATE, body=body))
    vm = await server.vm("web-01")
    await succeeded(server, await server.admin.call(volumes.ATTACH, body=VolumeAttach(vm=vm.id), volume_id=volume.id))
    text = libvirt_connection.lookupByName("web-01").XMLDesc()
    disks = [disk for disk in ET.fromstring(text).iterfind("devices/disk") if disk.get("type") == "block"]
    assert [ET.tostring(disk, "unicode").count('dev="/dev/vg/data"') for disk in disks] == [1]
    assert [driver.get("type") for disk in disks for driver in disk.iterfind("driver")] == ["raw"]
    await succeeded(server, await server.admin.call(volumes.DETACH, volume_id=volume.id))
    await succeeded(server, await server.admin.call(volumes.DELETE, volume_id=volume.id))
    assert await find(server, "data") is None


async def test_what_needs_files_is_refused(server: LiveServer, vg: Pool) -> None:
    volume = await create(server, pool=vg.id)
    call = server.admin.call
    with pytest.raises(
        errors.Conflict, match="data is in a pool of type logical: only volumes that are files can be co"
    ):
        await call(volumes.CLONE, body=VolumeClone(name="copy"), volume_id=volume.id)
    with pytest.raises(errors.Conflict, match="only volumes that are files can be moved"):
        await call(volumes.MOVE, body=VolumeMove(tier="hot"), volume_id=volume.id)
    with pytest.raises(errors.Conflict, match="only volumes that are files can be grown"):
        await call(volumes.RESIZE, body=VolumeResize(size_bytes=16 * MIB), volume_id=volume.id)
    with pytest.raises(errors.Conflict, match="cold is a pool of type logical: its volumes are raw, not qcow2"):
        await call(volumes.CREATE, body=VolumeCreate(name="thin", size_bytes=8 * MIB, pool=vg.id))
    with pytest.raises(errors.Conflict, match="only a new raw volume can be put there"):
        await call(volumes.CREATE, body=VolumeCreate(name="thin", size_bytes=8 * MIB, tier="cold"))
    body = VolumeCreate(name="file", size_bytes=8 * MIB, tier="hot")
    await succeeded(server, await call(volumes.CREATE, body=body))
    file = await find(server, "file")
    assert file is not None
    with pytest.raises(errors.Conflict):
        await call(volumes.MOVE, body=VolumeMove(tier="cold"), volume_id=file.id)


async def test_name_with_a_tenant_is_none_of_lvm(vg: Pool) -> None:
    with pytest.raises(errors.Conflict, match="LVM has no names with ~"):
        check_block_volume(vg, "red~data", "raw")
    check_block_volume(vg, "data", "raw")
