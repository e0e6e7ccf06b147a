"""A start that fails for a file names the disk, and where the file is."""

from __future__ import annotations

import os
import subprocess

import libvirt
import pytest

from novacron_core.api import vms
from novacron_core.api.operations import OperationState
from novacron_core.api.vms import State
from novacron_server.hypervisor.facts import DiskFacts, DomainFacts
from novacron_server.hypervisor.faults import UnusableFile, translate
from novacron_server.inventory.storage_state import StorageState
from novacron_server.vms.unusable_files import name_unusable_file
from tests.support.event_stream import open_stream
from tests.support.libvirt_objects import libvirt_error
from tests.support.storage import StorageServer

UNMANAGED = """
<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory><os><type arch='x86_64'>hvm</type></os>
<devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{path}'/>
<target dev='vda' bus='virtio'/></disk></devices></domain>
"""


async def why_not_started(storage: StorageServer, vm_id: str) -> str:
    async with open_stream(storage.server) as stream:
        ended = await storage.ended(await storage.admin.call(vms.START, vm_id=vm_id))
        await stream.until(lambda f: (f.get("value") or {}).get("id") == ended.id and f["value"]["state"] == "failed")
        kinds = {frame["type"] for frame in stream.frames if frame["frame"] == "event"}
    assert "vm.failed" not in kinds, "the operation has said it"
    assert ended.state is OperationState.FAILED
    assert ended.problem is not None
    return ended.problem.detail


@pytest.mark.qemu
@pytest.mark.asyncio(loop_scope="module")
async def test_missing_disk_of_a_vm_is_named(storage: StorageServer) -> None:
    volume = await storage.create_volume("second", tier="warm")
    vm = await storage.vm("two-disks", volume)
    path = storage.path(volume)
    kept = path.rename(path.with_name("kept"))
    assert await why_not_started(storage, vm.id) == f"disk vdb is missing ({volume.pool}/{volume.name})"
    kept.rename(path)
    await storage.succeeded(await storage.admin.call(vms.START, vm_id=vm.id))
    assert (await storage.server.vm("two-disks")).state is State.RUNNING


@pytest.mark.qemu
@pytest.mark.asyncio(loop_scope="module")
async def test_missing_backing_file_is_named_with_the_disk(storage: StorageServer) -> None:
    volume = await storage.create_volume("chained")
    vm = await storage.vm("overlay", volume)
    path = storage.path(volume)
    base = path.with_name("chained-base")
    path.rename(base)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(base), "-F", "qcow2", str(path)], check=True)
    storage.libvirt.storagePoolLookupByName(volume.pool).refresh()
    await storage.server.parts.inventory.refresh_volumes(volume.host)
    base.unlink()
    assert await why_not_started(storage, vm.id) == (
        f"a backing file of disk vdb is missing ({volume.pool}/chained-base)"
    )


@pytest.mark.qemu
@pytest.mark.asyncio(loop_scope="module")
async def test_file_outside_the_pools_is_named_by_its_path_to_those_who_see_unmanaged_vms(
    storage: StorageServer,
) -> None:
    path = f"/var/tmp/it's gone-{os.getpid()}.qcow2"
    escaped = path.replace("'", "&apos;")
    domain = storage.libvirt.defineXML(UNMANAGED.format(name="others", path=escaped))
    host = next(iter(storage.server.parts.inventory.state.views))
    await storage.server.parts.inventory.refresh_vm(host, domain.UUIDString())
    assert await why_not_started(storage, domain.UUIDString()) == f"disk vda is missing ({path})"
    domain.undefine()


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (
            "Cannot access storage file '/srv/a.qcow2' (as uid:64055, gid:108): Permission denied",
            "QEMU has no permission to open disk vda (a.qcow2): give QEMU's user access to its directory",
        ),
        ("internal error: Could not open '/srv/b.iso': No such file or directory", "CD-ROM sda is missing (b.iso)"),
        (
            "Cannot access backing file '/srv/base' of storage file '/srv/a.qcow2' (as uid:0, gid:0): No such file or"
            " directory",
            "a backing file of disk vda is missing (base)",
        ),
        ("Cannot access storage file '/srv/other': No such file or directory", ""),
    ],
)
def test_message_names_the_disk(message: str, sentence: str) -> None:
    error = translate(libvirt_error(libvirt.VIR_ERR_SYSTEM_ERROR, message), "start the VM")
    assert isinstance(error, UnusableFile)
    assert "/srv" not in error.detail
    disks = (
        DiskFacts(target="vda", path="/srv/a.qcow2", backing_file=("/srv/base",)),
        DiskFacts(target="sda", device="cdrom", path="/srv/b.iso"),
    )
    facts = DomainFacts(uuid="u", name="n", state=State.STOPPED, disks=disks)
    named = name_unusable_file(error, facts, StorageState({}, {}, {}), "h", paths=False)
    assert named == sentence
