"""Volumes through a whole server on libvirt's test driver: actions, refusals and permissions."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import libvirt
import pytest

from novacron_core import errors
from novacron_core.api import vms, volumes
from novacron_core.api.base import ListQuery
from novacron_core.api.operations import Operation, OperationState
from novacron_core.api.pools import Pool
from novacron_core.api.vms import VM
from novacron_core.api.volumes import Volume, VolumeAttach, VolumeClone, VolumeCreate, VolumeMove, VolumeResize
from novacron_core.client import Client
from novacron_core.values.roles import Role
from tests.support.requests import three_pools
from tests.support.server import LiveServer
from tests.support.waiting import until

MIB = 1 << 20


async def succeeded(server: LiveServer, operation: Operation) -> Operation:
    ended = await server.ended(operation)
    assert ended.state is OperationState.SUCCEEDED, ended.problem
    return ended


async def find_volume(server: LiveServer, name: str, client: Client | None = None) -> Volume | None:
    page = await (client or server.admin).call(volumes.LIST, query=ListQuery(page_size=1000))
    return next((volume for volume in page.items if volume.name == name), None)


async def create_volume(server: LiveServer, name: str = "data-01", **more: Any) -> Volume:
    body = VolumeCreate(name=name, size_bytes=8 * MIB, **more)
    await succeeded(server, await server.admin.call(volumes.CREATE, body=body))
    volume = await find_volume(server, name)
    assert volume is not None
    return volume


async def stopped_vm(server: LiveServer, name: str = "web-01") -> VM:
    body = vms.VMCreate(name=name, image="empty", memory_bytes=32 << 20, start=False)
    await succeeded(server, await server.admin.call(vms.CREATE, body=body))
    return await server.vm(name)


@pytest.fixture
async def pools(server: LiveServer) -> dict[str, Pool]:
    return await three_pools(server)


async def test_volume_is_created_in_the_requested_tier_or_pool(server: LiveServer, pools: dict[str, Pool]) -> None:
    volume = await create_volume(server, tier="cold", format="raw")
    assert (volume.tier, volume.size_bytes, volume.tenant, volume.vm, volume.unmanaged) == (
        "cold",
        8 * MIB,
        "default",
        None,
        False,
    )
    assert await server.admin.call(volumes.GET, volume_id=volume.id) == volume
    by_pool = await create_volume(server, "by-pool", pool=next(p.id for p in pools.values() if p.tier == "warm"))
    assert by_pool.tier == "warm"


async def test_volume_that_does_not_fit_is_refused(server: LiveServer, pools: dict[str, Pool]) -> None:
    with pytest.raises(errors.Conflict, match=r"needs 500 TiB, but hot .* has .* free"):
        await server.admin.call(volumes.CREATE, body=VolumeCreate(name="big", size_bytes=500 << 40))
    assert server.parts.inventory.state.storage.volume_rows == {}


async def test_name_in_use_is_refused(server: LiveServer, pools: dict[str, Pool]) -> None:
    await create_volume(server)
    with pytest.raises(errors.Conflict, match="already has a volume named data-01"):
        await server.admin.call(volumes.CREATE, body=VolumeCreate(name="data-01", size_bytes=MIB))
    body = VolumeCreate(name="two", size_bytes=MIB)
    answers = await asyncio.gather(
        *(server.admin.call(volumes.CREATE, body=body) for _ in range(3)), return_exceptions=True
    )
    ended = [await server.ended(a) for a in answers if isinstance(a, Operation)]
    assert [e.state for e in ended].count(OperationState.SUCCEEDED) == 1


async def test_unmanaged_volume_of_the_same_name_survives_a_failed_creation(
    server: LiveServer, pools: dict[str, Pool], libvirt_connection: libvirt.virConnect
) -> None:
    hot = next(p for p in pools.values() if p.tier == "hot")
    pool = libvirt_connection.storagePoolLookupByName(hot.name)
    pool.createXML("<volume><name>theirs</name><capacity>1048576</capacity></volume>", 0)
    operation = await server.admin.call(volumes.CREATE, body=VolumeCreate(name="theirs", size_bytes=MIB))
    ended = await server.ended(operation)
    assert ended.state is OperationState.FAILED
    assert ended.problem is not None
    assert "named theirs already" in ended.problem.detail
    assert pool.storageVolLookupByName("theirs") is not None
    assert server.parts.inventory.state.storage.volume_rows == {} or await until(lambda: _has_no_rows(server))


async def _has_no_rows(server: LiveServer) -> bool | None:
    return True if not server.parts.inventory.state.storage.volume_rows else None


async def test_failed_creation_leaves_nothing(
    server: LiveServer, pools: dict[str, Pool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "volume.create:made=error")
    operation = await server.admin.call(volumes.CREATE, body=VolumeCreate(name="half", size_bytes=MIB))
    assert (await server.ended(operation)).state is OperationState.FAILED
    await until(lambda: _has_no_rows(server))
    assert await find_volume(server, "half") is None


async def test_volume_is_attached_to_a_stopped_vm_and_detached(
    server: LiveServer, pools: dict[str, Pool], image: str
) -> None:
    vm, volume = await stopped_vm(server), await create_volume(server)
    operation = await succeeded(
        server, await server.admin.call(volumes.ATTACH, body=VolumeAttach(vm=vm.id), volume_id=volume.id)
    )
    assert (operation.target.id, [held.id for held in operation.locks]) == (vm.id, [volume.id])
    disks = (await server.vm("web-01")).disks
    assert [(disk.target, disk.volume, disk.tier) for disk in disks][1] == ("vdb", volume.id, "hot")
    volume = await server.admin.call(volumes.GET, volume_id=volume.id)
    assert (volume.vm, volume.role) == (vm.id, "disk")
    with pytest.raises(errors.Conflict, match="is attached to web-01: detach it first"):
        await server.admin.call(volumes.DELETE, volume_id=volume.id)
    other = await stopped_vm(server, "web-02")
    with pytest.raises(errors.Conflict, match="attached to another VM"):
        await server.admin.call(volumes.ATTACH, body=VolumeAttach(vm=other.id), volume_id=volume.id)
    await succeeded(server, await server.admin.call(volumes.DETACH, volume_id=volume.id))
    assert len((await server.vm("web-01")).disks) == 1
    assert (await server.admin.call(volumes.GET, volume_id=volume.id)).vm is None


async def test_vm_is_deleted_with_attached_disks_but_not_detached_ones(
    server: LiveServer, pools: dict[str, Pool], image: str
) -> None:
    vm, kept, goes = await stopped_vm(server), await create_volume(server, "kept"), await create_volume(server, "goes")
    for volume in (kept, goes):
        await succeeded(
            server, await server.admin.call(volumes.ATTACH, body=VolumeAttach(vm=vm.id), volume_id=volume.id)
        )
    await succeeded(server, await server.admin.call(volumes.DETACH, volume_id=kept.id))
    query = vms.DeleteQuery(disks=True)
    await succeeded(server, await server.admin.call(vms.DELETE, query=query, if_match=vm.generation, vm_id=vm.id))
    assert await find_volume(server, "goes") is None
    assert await find_volume(server, "kept") is not None


async def test_deletion_preview_shows_users_and_refusal(server: LiveServer, pools: dict[str, Pool], image: str) -> None:
    vm, free = await stopped_vm(server), await create_volume(server)
    volume_id = vm.disks[0].volume
    assert volume_id is not None
    used = await server.admin.call(volumes.DELETION, volume_id=volume_id)
    assert used.used_by == ["web-01"]
    assert "attached to web-01" in used.refused
    preview = await server.admin.call(volumes.DELETION, volume_id=free.id)
    assert (preview.used_by, preview.refused, preview.frees_bytes) == ([], "", free.allocated_bytes)
    await succeeded(server, await server.admin.call(volumes.DELETE, volume_id=free.id))
    with pytest.raises(errors.NotFound):
        await server.admin.call(volumes.GET, volume_id=free.id)


async def test_clone_is_a_volume_of_its_own(server: LiveServer, pools: dict[str, Pool]) -> None:
    volume = await create_volume(server)
    await succeeded(
        server, await server.admin.call(volumes.CLONE, body=VolumeClone(name="copy", tier="cold"), volume_id=volume.id)
    )
    copy = await find_volume(server, "copy")
    assert copy is not None
    assert (copy.tier, copy.size_bytes, copy.unmanaged) == ("cold", volume.size_bytes, False)
    assert copy.id != volume.id


async def test_unsupported_action_on_a_simulated_host_is_refused(
    server: LiveServer, pools: dict[str, Pool], image: str
) -> None:
    volume = await create_volume(server)
    with pytest.raises(errors.Conflict, match="simulated host cannot move volumes"):
        await server.admin.call(volumes.MOVE, body=VolumeMove(tier="cold"), volume_id=volume.id)
    with pytest.raises(errors.Conflict, match="simulated host cannot resize"):
        await server.admin.call(volumes.RESIZE, body=VolumeResize(size_bytes=16 * MIB), volume_id=volume.id)
    await succeeded(server, await server.admin.call(vms.START, vm_id=(await stopped_vm(server)).id))
    vm = await server.vm("web-01")
    with pytest.raises(errors.Conflict, match="runs on a simulated host"):
        await server.admin.call(volumes.ATTACH, body=VolumeAttach(vm=vm.id), volume_id=volume.id)


async def test_disk_change_locks_the_vm_and_the_volume(
    server: LiveServer, pools: dict[str, Pool], image: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    vm, volume = await stopped_vm(server), await create_volume(server)
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "volume.attach:began=pause")
    monkeypatch.setenv("NOVACRON_FAILPOINT_RELEASE", str(tmp_path / "go"))
    operation = await server.admin.call(volumes.ATTACH, body=VolumeAttach(vm=vm.id), volume_id=volume.id)

    async def shown() -> bool | None:
        now = await server.admin.call(volumes.GET, volume_id=volume.id)
        return True if now.operation_id == operation.id else None

    await until(shown)
    for call in (
        server.admin.call(vms.START, vm_id=vm.id),
        server.admin.call(volumes.DELETE, volume_id=volume.id),
        server.admin.call(volumes.CLONE, body=VolumeClone(name="copy"), volume_id=volume.id),
    ):
        with pytest.raises(errors.Conflict, match=r"busy: attaching a volume \(by ann\)"):
            await call
    (tmp_path / "go").touch()
    await succeeded(server, operation)
    assert (await server.admin.call(volumes.GET, volume_id=volume.id)).operation_id is None


async def test_next_change_is_accepted_once_the_end_is_reported(
    server: LiveServer, pools: dict[str, Pool], image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vm, volume = await stopped_vm(server), await create_volume(server)
    real = server.parts.reader._on_records

    async def deliver_late(records: Any) -> None:
        await asyncio.sleep(0.1)
        if (pending := real(records)) is not None:
            await pending

    monkeypatch.setattr(server.parts.reader, "_on_records", deliver_late)
    for _ in range(3):
        await succeeded(
            server, await server.admin.call(volumes.ATTACH, body=VolumeAttach(vm=vm.id), volume_id=volume.id)
        )
        await succeeded(server, await server.admin.call(volumes.DETACH, volume_id=volume.id))


async def test_one_of_several_concurrent_changes_is_accepted(
    server: LiveServer, pools: dict[str, Pool], image: str
) -> None:
    vm, other = await stopped_vm(server), await stopped_vm(server, "web-02")
    for number in range(3):
        volume = await create_volume(server, f"wanted-{number}")
        answers = await asyncio.gather(
            server.admin.call(volumes.ATTACH, body=VolumeAttach(vm=vm.id), volume_id=volume.id),
            server.admin.call(volumes.ATTACH, body=VolumeAttach(vm=other.id), volume_id=volume.id),
            server.admin.call(volumes.DELETE, volume_id=volume.id),
            return_exceptions=True,
        )
        accepted = [answer for answer in answers if isinstance(answer, Operation)]
        assert len(accepted) == 1, answers
        assert all(isinstance(answer, errors.Conflict) for answer in answers if answer is not accepted[0])
        await succeeded(server, accepted[0])


async def test_another_tenants_volume_is_not_found(
    server: LiveServer, pools: dict[str, Pool], libvirt_connection: libvirt.virConnect
) -> None:
    pool = libvirt_connection.storagePoolLookupByName(next(p.name for p in pools.values() if p.tier == "hot"))
    pool.createXML("<volume><name>unmanaged</name><capacity>1048576</capacity></volume>", 0)
    pool.refresh(0)

    async def seen() -> Volume | None:
        return await find_volume(server, "unmanaged")

    unmanaged = await until(seen)
    assert (unmanaged.unmanaged, unmanaged.tenant) == (True, None)
    bob = await server.member("bob", Role.OPERATOR)
    assert await find_volume(server, "unmanaged", bob) is None
    with pytest.raises(errors.NotFound):
        await bob.call(volumes.DELETE, volume_id=unmanaged.id)
    with pytest.raises(errors.Conflict, match="is unmanaged"):
        await server.admin.call(volumes.DELETE, volume_id=unmanaged.id)
    eve = await server.member("eve", Role.VIEWER)
    with pytest.raises(errors.Forbidden):
        await eve.call(volumes.CREATE, body=VolumeCreate(name="x", size_bytes=MIB))
    await bob.close()
    await eve.close()


async def test_list_is_filtered_with_the_consoles_filter_language(
    server: LiveServer, pools: dict[str, Pool], image: str
) -> None:
    await stopped_vm(server)
    await create_volume(server, tier="cold", format="raw")
    for q, names in (
        ("tier:cold", {"data-01"}),
        ("is:free", {"data-01"}),
        ("vm:web-01 size>=8M format:qcow2", 1),
        ("data-*", {"data-01"}),
    ):
        found = await server.admin.call(volumes.LIST, query=ListQuery(q=q))
        assert (len(found.items) if isinstance(names, int) else {v.name for v in found.items}) == names, q
    with pytest.raises(errors.ValidationFailed, match="unknown field colour"):
        await server.admin.call(volumes.LIST, query=ListQuery(q="colour:red"))


async def test_repeated_request_creates_one_volume(server: LiveServer, pools: dict[str, Pool]) -> None:
    body = VolumeCreate(name="once", size_bytes=MIB)
    repeated = [await server.admin.call(volumes.CREATE, body=body, idempotency_key="k") for _ in range(3)]
    assert len({operation.id for operation in repeated}) == 1
    await succeeded(server, repeated[0])
