"""A VM whose disk would have to be larger than its image can grow is refused before anything is copied."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from novacron_core import errors
from novacron_core.api import images, operations, vms
from novacron_core.api.operations import OperationState
from tests.support.requests import vm_request
from tests.support.server import LiveServer

MIB = 1 << 20


async def test_larger_disk_from_an_image_that_cannot_grow_is_refused_at_once(
    server: LiveServer, image: str, data_dir: Path
) -> None:
    path = data_dir / "images" / "old.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", "compat=0.10", path, "64M"], check=True)
    subprocess.run(["qemu-img", "snapshot", "-c", "before-upgrade", path], check=True)
    assert next(i for i in (await server.admin.call(images.LIST)).items if i.name == "old").problem == ""
    before = (await server.admin.call(operations.LIST)).total
    with pytest.raises(errors.ValidationFailed, match="the image old contains 1 snapshot") as refused:
        await server.admin.call(vms.CREATE, body=vm_request(image="old", disk_bytes=1024 * MIB, start=False))
    assert [field.field for field in refused.value.fields] == ["disk_bytes"]
    assert "qemu-img amend -o compat=1.1 old.qcow2" in refused.value.detail
    assert (await server.admin.call(operations.LIST)).total == before
    for size in (None, 64 * MIB):
        body = vm_request(f"same-{size or 'size'}", image="old", disk_bytes=size, start=False)
        assert (await server.ended(await server.admin.call(vms.CREATE, body=body))).state is OperationState.SUCCEEDED
