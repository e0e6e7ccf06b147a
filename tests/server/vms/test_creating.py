"""Creates VMs through a whole server: invalid requests, names in use, and failures, which leave nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from novacron_core import errors
from novacron_core.api import images, operations, vms, volumes
from novacron_core.api.operations import Operation, OperationState
from novacron_server.images.folder import read_folder
from novacron_server.images.service import Images
from tests.support.requests import create_vm, succeeded, vm_request
from tests.support.server import LiveServer
from tests.support.waiting import until


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"name": "Web_01"}, "name"),
        ({"name": "<disk/>"}, "name"),
        ({"name": "a" * 64}, "name"),
        ({"vcpus": 0}, "vcpus"),
        ({"memory_bytes": 1}, "memory_bytes"),
        ({"memory_bytes": 1 << 45}, "memory_bytes"),
        ({"disk_bytes": 4 << 20}, "disk_bytes"),
        ({"network": "no-such-net"}, "network"),
        ({"image": "../../etc/passwd"}, "image"),
    ],
)
async def test_invalid_value_is_refused_with_its_field_and_changes_nothing(
    server: LiveServer, image: str, more: dict[str, Any], field: str
) -> None:
    with pytest.raises(errors.ValidationFailed) as refused:
        await server.admin.call(vms.CREATE, body=vm_request(**more))
    assert [error.field for error in refused.value.fields] == [field]
    assert server.parts.inventory.state.rows == {}


async def test_name_in_use_is_refused(server: LiveServer, image: str) -> None:
    await create_vm(server)
    with pytest.raises(errors.Conflict, match="a VM named web-01 already exists"):
        await server.admin.call(vms.CREATE, body=vm_request())


async def test_concurrent_requests_for_one_name_create_one_vm(server: LiveServer, image: str) -> None:
    answers = await asyncio.gather(
        *(server.admin.call(vms.CREATE, body=vm_request()) for _ in range(4)), return_exceptions=True
    )
    won = [answer for answer in answers if isinstance(answer, Operation)]
    assert len(won) == 1
    assert all(isinstance(a, errors.Conflict) for a in answers if a is not won[0])
    await succeeded(server, won[0])


async def test_broken_image_is_listed_with_the_problem_and_refused(
    server: LiveServer, image: str, data_dir: Path
) -> None:
    (data_dir / "images" / "broken.qcow2").write_bytes(b"this is no image")
    page = await server.admin.call(images.LIST)
    broken = next(item for item in page.items if item.name == "broken")
    assert "not a qcow2 image" in broken.problem
    assert str(data_dir) not in broken.problem
    with pytest.raises(errors.InvalidArgument, match="broken"):
        await server.admin.call(vms.CREATE, body=vm_request(image="broken"))
    with pytest.raises(errors.NotFound, match="nothing-here"):
        await server.admin.call(vms.CREATE, body=vm_request(image="nothing-here"))


async def test_image_with_a_backing_file_is_refused(server: LiveServer, image: str, data_dir: Path) -> None:
    import subprocess

    overlay = data_dir / "images" / "overlay.qcow2"
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", "/etc/passwd", "-F", "raw", str(overlay), "1M"],
        check=True,
    )
    with pytest.raises(errors.InvalidArgument, match="backing file"):
        await server.admin.call(vms.CREATE, body=vm_request(image="overlay"))


async def test_demo_image_is_listed(server: LiveServer) -> None:
    page = await server.admin.call(images.LIST)
    alpine = next(item for item in page.items if item.name == "alpine")
    assert (alpine.problem, alpine.direct_boot, alpine.format, alpine.size_bytes) == ("", True, "qcow2", 1 << 30)


async def test_failed_creation_leaves_nothing(server: LiveServer, image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "vm.create:uploaded=error")
    ended = await server.ended(await server.admin.call(vms.CREATE, body=vm_request()))
    assert ended.state is OperationState.FAILED
    assert ended.problem is not None
    assert "vm.create:uploaded" in ended.problem.detail
    assert not [v for v in (await server.admin.call(volumes.LIST)).items if "web-01" in v.name]
    await server.wait_until_no_rows()
    assert not [vm for vm in (await server.admin.call(vms.LIST)).items if vm.name == "web-01"]


async def test_cancelled_creation_leaves_nothing(
    server: LiveServer, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "vm.create:volumes=pause")
    operation = await server.admin.call(vms.CREATE, body=vm_request())
    cancelled = await server.admin.call(operations.CANCEL, operation_id=operation.id)
    assert cancelled.state is OperationState.CANCELLED
    await server.wait_until_no_rows()
    assert not [v for v in (await server.admin.call(volumes.LIST)).items if "web-01" in v.name]


async def test_repeated_request_has_one_effect(server: LiveServer, image: str) -> None:
    key = str(uuid4())
    first = await server.admin.call(vms.CREATE, body=vm_request(), idempotency_key=key)
    again = await asyncio.gather(
        *(server.admin.call(vms.CREATE, body=vm_request(), idempotency_key=key) for _ in range(5))
    )
    assert {operation.id for operation in again} == {first.id}
    with pytest.raises(errors.ValidationFailed, match="another request"):
        await server.admin.call(vms.CREATE, body=vm_request("web-02"), idempotency_key=key)
    await succeeded(server, first)
    assert len([vm for vm in (await server.admin.call(vms.LIST)).items if vm.name.startswith("web-")]) == 1


@pytest.mark.parametrize("place", ["planned", "volumes"])
async def test_creation_fails_with_the_reason_when_its_image_is_deleted(
    server: LiveServer, image: str, data_dir: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("NOVACRON_FAILPOINTS", f"vm.create:{place}=pause")
    monkeypatch.setenv("NOVACRON_FAILPOINT_RELEASE", str(data_dir / "go"))
    begun = await server.admin.call(vms.CREATE, body=vm_request(start=False))
    await server.admin.call(images.DELETE, name=image)
    (data_dir / "go").touch()
    ended = await server.ended(begun)
    assert ended.problem is not None
    assert (ended.state, ended.problem.code) == (OperationState.FAILED, "conflict")
    assert "the image empty has been deleted" in ended.problem.detail
    await server.wait_until_no_rows()


async def test_creation_fails_when_its_image_is_written_to_while_it_is_copied(
    server: LiveServer, image: str, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "vm.create:volumes=pause")
    monkeypatch.setenv("NOVACRON_FAILPOINT_RELEASE", str(data_dir / "go"))
    begun = await server.admin.call(vms.CREATE, body=vm_request(start=False))
    host_id = next(iter(server.parts.inventory.state.views))

    async def created_disk() -> bool | None:
        await server.parts.inventory.refresh_volumes(host_id)
        page = await server.admin.call(volumes.LIST)
        return any(volume.name.startswith("web-01") for volume in page.items) or None

    await until(created_disk)
    with (data_dir / "images" / f"{image}.qcow2").open("ab") as file:
        file.write(bytes(512))
    (data_dir / "go").touch()
    ended = await server.ended(begun)
    assert ended.problem is not None
    assert "the image empty was written to while it was copied: try again" in ended.problem.detail
    await server.wait_until_no_rows()


async def test_image_deleted_while_it_is_inspected_is_not_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "web.img").write_bytes(bytes(512))
    store = Images(tmp_path)
    real = read_folder

    def removed(directory: Path, name: str = "") -> Any:
        found = list(real(directory, name))
        (tmp_path / "web.img").unlink(missing_ok=True)
        return iter(found)

    monkeypatch.setattr("novacron_server.images.service.read_folder", removed)
    assert "web" not in [image.name for image in await store.list()]
    (tmp_path / "web.img").write_bytes(bytes(512))
    with pytest.raises(errors.NotFound, match="No image named web"):
        await store.get("web")
