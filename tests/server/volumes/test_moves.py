"""The move between tiers on real files and real QEMU: exactly one copy counts, and no other is left (promise G9)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal

import pytest

from novacron_core import errors
from novacron_core.api import operations, vms, volumes
from novacron_core.api.base import ListQuery
from novacron_core.api.operations import OperationState
from novacron_core.api.volumes import VolumeMove
from novacron_core.values.tiers import TierName
from novacron_server.hypervisor.connection.supervisor import ConnectionSupervisor
from novacron_server.hypervisor.storage.uploads import Upload
from tests.support.storage import (
    MIB,
    RUNNING,
    STOPPED,
    StorageServer,
    digest,
    expect_one_copy,
    move,
    only,
    paused_before_the_switch,
    same_content,
)
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("image_format", ["qcow2", "raw"])
async def test_a_free_volume_moves_with_its_holes_and_every_byte(
    storage: StorageServer, image_format: Literal["qcow2", "raw"]
) -> None:
    volume = await storage.made(f"data-{image_format}", image_format=image_format)
    before, used = digest(storage.path(volume)), storage.path(volume).stat().st_blocks
    ended = await storage.done(await move(storage, volume))
    moved = await storage.volume(volume.name)
    assert (moved.id, moved.tier, moved.unmanaged) == (volume.id, "cold", False)
    assert digest(storage.path(moved)) == before
    assert storage.path(moved).stat().st_blocks <= used + 16
    only(storage, volume, "cold")
    told = [v.id for v in (await storage.admin.call(volumes.LIST)).items if v.name == volume.name]
    assert told == [volume.id]  # and no stranger beside it
    assert (ended.progress, ended.may_cancel) == (1.0, False)


async def test_the_disk_of_a_stopped_vm_moves_and_the_vm_starts_on_it(storage: StorageServer) -> None:
    volume = await storage.made("data2")
    vm = await storage.vm("web-2", volume)
    old = str(storage.path(volume))
    operation = await move(storage, volume)
    assert (operation.target.id, operation.locks[0].id) == (vm.id, volume.id)
    await storage.done(operation)
    only(storage, volume, "cold")
    new = str(storage.path(await storage.volume("data2")))
    assert new in storage.disk_paths(vm.id)[1]
    assert old not in storage.disk_paths(vm.id)[1]
    same_content(storage, Path(new))
    assert [disk.tier for disk in (await storage.server.vm("web-2")).disks] == ["hot", "cold"]
    await storage.done(await storage.admin.call(vms.START, vm_id=vm.id))
    await storage.done(await move(storage, volume, "warm"))  # and on while it runs
    only(storage, volume, "warm")
    live, persistent = storage.disk_paths(vm.id)
    assert live == persistent
    assert str(storage.path(await storage.volume("data2"))) in live
    same_content(storage, storage.path(await storage.volume("data2")))


async def test_what_a_move_has_changed_is_known_before_libvirt_tells_of_it(
    storage: StorageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = await storage.made("data11")
    vm = await storage.vm("web-11", volume, start=True)
    monkeypatch.setattr(ConnectionSupervisor, "_event_received", lambda *_: None)  # its events do not come
    await storage.done(await move(storage, volume))
    assert str(storage.path(await storage.volume("data11"))) in storage.disk_paths(vm.id)[0]
    only(storage, volume, "cold")


@pytest.mark.timeout(180)
@pytest.mark.parametrize("places", [STOPPED, RUNNING], ids=["stopped", "running"])
async def test_a_move_that_fails_anywhere_leaves_one_copy_that_counts(
    storage: StorageServer, monkeypatch: pytest.MonkeyPatch, places: list[str]
) -> None:
    volume = await storage.made(f"data-{places[2]}")
    vm = await storage.vm(f"web-{places[2]}", volume, start=places is RUNNING)
    counts = "pivoted" if places is RUNNING else "switched"
    tier: TierName = "hot"
    other: TierName = "cold"
    for place in places:
        monkeypatch.setenv("NOVACRON_FAILPOINTS", f"volume.move:{place}=error")
        ended = await storage.ended(await move(storage, volume, other))
        assert ended.state is OperationState.FAILED, place
        assert ended.problem is not None
        assert f"failpoint volume.move:{place}" in ended.problem.detail
        moved = places.index(place) >= places.index(counts)
        assert (f"the volume is in {other}" in ended.problem.detail) is moved
        if moved:
            tier, other = other, tier
        await expect_one_copy(storage, vm, volume, tier)
        live, persistent = storage.disk_paths(vm.id)
        assert live == persistent


async def test_a_running_move_is_slowed_down_told_and_cancelled(storage: StorageServer) -> None:
    volume = await storage.made("data4")
    vm = await storage.vm("web-4", volume, start=True)
    operation = await move(storage, volume, bandwidth_bytes_s=MIB)

    async def going() -> operations.Operation | None:
        now = await storage.admin.call(operations.GET, operation_id=operation.id)
        return now if now.progress and 0 < now.progress < 1 else None

    seen = await until(going)
    assert "runs" in seen.step
    with pytest.raises(errors.Conflict, match=r"busy: moving a disk"):
        await storage.admin.call(vms.POWER_OFF, vm_id=vm.id)
    cancelled = await storage.admin.call(operations.CANCEL, operation_id=operation.id)
    assert cancelled.state is OperationState.CANCELLED
    await expect_one_copy(storage, vm, volume, "hot")
    assert (await storage.server.vm("web-4")).state == "running"


async def test_a_stopped_move_is_cancelled(storage: StorageServer) -> None:
    volume = await storage.made("data5")
    vm = await storage.vm("web-5", volume)
    operation = await move(storage, volume, bandwidth_bytes_s=MIB)

    async def copying() -> bool | None:
        return True if any(name.endswith(".part") for _, name in storage.files()) else None

    await until(copying)
    await storage.admin.call(operations.CANCEL, operation_id=operation.id)
    await expect_one_copy(storage, vm, volume, "hot")


async def test_of_all_who_want_one_volume_at_once_one_gets_it(storage: StorageServer) -> None:
    volume, vm, tried = await storage.made("wanted"), await storage.vm("web-wanted"), set()
    call, volume_id = storage.admin.call, volume.id
    asks: dict[str, Callable[[TierName], Awaitable[operations.Operation]]] = {
        "move": lambda tier: call(volumes.MOVE, body=VolumeMove(tier=tier), volume_id=volume_id),
        "attach": lambda _: call(volumes.ATTACH, body=volumes.VolumeAttach(vm=vm.id), volume_id=volume_id),
        "resize": lambda _: call(volumes.RESIZE, body=volumes.VolumeResize(size_bytes=80 * MIB), volume_id=volume_id),
        "delete": lambda _: call(volumes.DELETE, volume_id=volume_id),
    }
    for first in asks:  # whoever asks first, mostly
        now = await storage.volume("wanted")
        tier: TierName = "warm" if now.tier == "hot" else "hot"
        names = [first, *(name for name in asks if name != first)]
        answers = await asyncio.gather(*(asks[name](tier) for name in names), return_exceptions=True)
        accepted = [answer for answer in answers if isinstance(answer, operations.Operation)]
        assert len(accepted) <= 1, answers
        refused = [answer for answer in answers if not isinstance(answer, operations.Operation)]
        assert all(isinstance(a, errors.Conflict | errors.ValidationFailed) for a in refused), answers
        for operation in accepted:
            await storage.done(operation)
            tried.add(operation.kind)
        there = [item for item in storage.files() if item[1].startswith("wanted")]
        rows = [v for v in (await call(volumes.LIST, query=ListQuery(page_size=1000))).items if v.name == "wanted"]
        assert [(v.tier, v.name) for v in rows] == there
        if not there:
            break
        if rows[0].vm:
            await storage.done(await call(volumes.DETACH, volume_id=volume_id))
    assert tried


async def test_what_cannot_be_moved_says_why(storage: StorageServer) -> None:
    volume, free = await storage.made("data6"), await storage.made("free6")
    vm = await storage.vm("web-6", volume)
    with pytest.raises(errors.Conflict, match="data6 is already in tier hot"):
        await move(storage, volume, "hot")
    domain = storage.libvirt.lookupByUUIDString(vm.id)
    domain.snapshotCreateXML("<domainsnapshot><name>s</name></domainsnapshot>", 0)
    with pytest.raises(errors.Conflict, match="web-6 has snapshots"):
        await move(storage, volume)
    domain.snapshotLookupByName("s").delete(0)
    theirs = storage.server.data_dir / "pools" / "cold" / "free6"
    theirs.write_bytes(b"somebody's")
    operation = await move(storage, free)
    ended = await storage.ended(operation)
    assert ended.problem is not None
    assert "named free6 already" in ended.problem.detail
    assert theirs.read_bytes() == b"somebody's"
    assert ("hot", "free6") in storage.files()
    assert not [name for _, name in storage.files() if name.endswith(".part")]


async def test_where_the_files_are_out_of_reach_the_copy_goes_through_the_server(
    storage: StorageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = await storage.made("data7")
    vm = await storage.vm("web-7", volume)
    before = digest(storage.path(volume))

    async def never(*_: object) -> bool:
        return False

    for sync in storage.server.parts.inventory._syncs.values():
        monkeypatch.setattr(sync.host.storage, "sees", never)
    with pytest.raises(AssertionError, match="imit needs direct access"):
        await storage.done(await move(storage, volume, bandwidth_bytes_s=MIB))
    await expect_one_copy(storage, vm, volume, "hot")
    for place, tier in (("compared", "hot"), ("switched", "cold")):
        monkeypatch.setenv("NOVACRON_FAILPOINTS", f"volume.move:{place}=error")
        assert (await storage.ended(await move(storage, volume))).state is OperationState.FAILED
        await expect_one_copy(storage, vm, volume, tier)
    assert digest(storage.path(await storage.volume("data7"))) == before


async def test_a_volume_that_somebody_writes_to_meanwhile_stays(storage: StorageServer) -> None:
    volume = await storage.made("data8", image_format="raw")
    operation = await move(storage, volume, bandwidth_bytes_s=10 * MIB)

    async def copying() -> bool | None:
        now = await storage.admin.call(operations.GET, operation_id=operation.id)
        return True if now.progress else None

    await until(copying)
    with storage.path(volume).open("r+b") as file:
        file.write(b"x")
    ended = await storage.ended(operation)
    assert ended.problem is not None
    assert "written to during the copy" in ended.problem.detail
    only(storage, volume, "hot")


async def test_a_vm_that_is_started_behind_our_back_stays_on_the_disk_it_runs_on(
    storage: StorageServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    volume = await storage.made("data9")
    vm = await storage.vm("web-9", volume)
    operation = await paused_before_the_switch(storage, volume, monkeypatch, tmp_path / "go")
    storage.libvirt.lookupByUUIDString(vm.id).create()
    (tmp_path / "go").touch()
    ended = await storage.ended(operation)
    assert ended.state is OperationState.FAILED
    assert ended.problem is not None
    assert "started during the move" in ended.problem.detail
    await expect_one_copy(storage, vm, volume, "hot")
    live, persistent = storage.disk_paths(vm.id)
    assert live == persistent


async def test_a_copy_through_the_server_that_differs_is_not_used(
    storage: StorageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = await storage.made("data10")

    async def never(*_: object) -> bool:
        return False

    for sync in storage.server.parts.inventory._syncs.values():
        monkeypatch.setattr(sync.host.storage, "sees", never)
    honest = Upload._send

    def careless(self: Upload, stream: object, file: object, total: int | None) -> None:
        honest(self, stream, file, total)  # type: ignore[arg-type]
        stream.send(b"x")  # type: ignore[attr-defined]

    monkeypatch.setattr(Upload, "_send", careless)
    ended = await storage.ended(await move(storage, volume))
    assert ended.problem is not None
    assert "differs" in ended.problem.detail
    only(storage, volume, "hot")
