"""The disks of a VM that is being created cannot be used by anything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from novacron_core import errors
from novacron_core.api import vms, volumes
from novacron_core.api.volumes import VolumeAttach, VolumeClone
from tests.support.requests import create_vm, succeeded, vm_request
from tests.support.server import LiveServer
from tests.support.waiting import until


async def test_disk_of_a_vm_that_is_being_created_is_locked(
    server: LiveServer, image: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = await create_vm(server, "other", start=False)
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "vm.create:volumes=pause")
    monkeypatch.setenv("NOVACRON_FAILPOINT_RELEASE", str(tmp_path / "go"))
    operation = await server.admin.call(vms.CREATE, body=vm_request(start=False))
    host_id = next(iter(server.parts.inventory.state.views))

    async def created_disk() -> volumes.Volume | None:
        await server.parts.inventory.refresh_volumes(host_id)
        page = await server.admin.call(volumes.LIST)
        return next((v for v in page.items if v.name.startswith("web-01")), None)

    disk = await until(created_disk)
    for request in (
        server.admin.call(volumes.ATTACH, body=VolumeAttach(vm=other.id), volume_id=disk.id),
        server.admin.call(volumes.CLONE, body=VolumeClone(name="copy"), volume_id=disk.id),
        server.admin.call(volumes.DELETE, volume_id=disk.id),
    ):
        with pytest.raises(errors.Conflict, match=r"is busy: creating \(by ann\)"):
            await request
    (tmp_path / "go").touch()
    await succeeded(server, operation)
    assert len((await server.vm("other")).disks) == 1
    copy = await server.admin.call(volumes.CLONE, body=VolumeClone(name="copy"), volume_id=disk.id)
    await succeeded(server, copy)
