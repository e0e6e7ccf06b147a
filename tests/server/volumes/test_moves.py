"""Moves between tiers with real files and real QEMU: exactly one copy is current, and no other is left (G9)."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal

import pytest

from novacron_core import errors
from novacron_core.api import operations, vms, volumes
from novacron_core.api.base import ListQuery
from novacron_core.api.operations import OperationState
from novacron_core.api.volumes import VolumeMove
from novacron_core.values.roles import Role
from novacron_core.values.sizes import KIB
from novacron_core.values.tiers import TierName
from novacron_server.hypervisor.connection.supervisor import ConnectionSupervisor
from novacron_server.hypervisor.storage.uploads import Upload
from novacron_tui.cli import tiering as cli
from novacron_tui.cli.runtime.output import Output
from tests.support.storage import (
    MIB,
    RUNNING,
    STOPPED,
    StorageServer,
    digest,
    expect_content,
    expect_one_copy,
    expect_only_file,
    move,
    pause_before_switch,
    run,
)
from tests.support.tenants import add_tenant, members_of
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("image_format", ["qcow2", "raw"])
async def test_unattached_volume_moves_with_every_byte_and_its_holes(
    storage: StorageServer, image_format: Literal["qcow2", "raw"]
) -> None:
    volume = await storage.create_volume(f"data-{image_format}", image_format=image_format)
    before, used = digest(storage.path(volume)), storage.path(volume).stat().st_blocks
    ended = await storage.succeeded(await move(storage, volume))
    moved = await storage.volume(volume.name)
    assert (moved.id, moved.tier, moved.unmanaged) == (volume.id, "cold", False)
    assert digest(storage.path(moved)) == before
    assert storage.path(moved).stat().st_blocks <= used + 16
    expect_only_file(storage, volume, "cold")
    listed = [v.id for v in (await storage.admin.call(volumes.LIST)).items if v.name == volume.name]
    assert listed == [volume.id]  # and no unmanaged volume besides it
    assert (ended.progress, ended.may_cancel) == (1.0, False)


async def test_disk_of_a_stopped_vm_moves_and_the_vm_starts_with_it(storage: StorageServer) -> None:
    volume = await storage.create_volume("data2")
    vm = await storage.vm("web-2", volume)
    old = str(storage.path(volume))
    operation = await move(storage, volume)
    assert (operation.target.id, operation.locks[0].id) == (vm.id, volume.id)
    await storage.succeeded(operation)
    expect_only_file(storage, volume, "cold")
    new = str(storage.path(await storage.volume("data2")))
    assert new in storage.disk_paths(vm.id)[1]
    assert old not in storage.disk_paths(vm.id)[1]
    expect_content(storage, Path(new))
    assert [disk.tier for disk in (await storage.server.vm("web-2")).disks] == ["hot", "cold"]
    await storage.succeeded(await storage.admin.call(vms.START, vm_id=vm.id))
    await storage.succeeded(await move(storage, volume, "warm"))  # and again while it runs
    expect_only_file(storage, volume, "warm")
    live, persistent = storage.disk_paths(vm.id)
    assert live == persistent
    assert str(storage.path(await storage.volume("data2"))) in live
    expect_content(storage, storage.path(await storage.volume("data2")))


async def test_volume_tells_where_it_was_moved_by_whom_and_with_what_result(
    storage: StorageServer, capsys: pytest.CaptureFixture[str]
) -> None:
    volume, other = await storage.create_volume("travelled"), await storage.create_volume("stayed")
    first = await storage.succeeded(await move(storage, volume))
    vm = await storage.vm("web-travelled", await storage.volume("travelled"))
    slow = await move(storage, volume, "warm", bandwidth_bytes_s=64 * KIB)
    assert slow.target.id == vm.id, "the operation is on the VM by now, the volume is the same"
    running = (await storage.admin.call(volumes.MOVES, volume_id=volume.id)).moves[0]
    assert (running.operation, running.moved, running.finished_at) == (slow.id, False, None)
    await storage.admin.call(operations.CANCEL, operation_id=slow.id)
    await storage.ended(slow)
    cancelled, done = (await storage.admin.call(volumes.MOVES, volume_id=volume.id)).moves
    assert (done.operation, done.source, done.target, done.actor) == (first.id, "hot", "cold", "ann")
    assert (done.state, done.moved, done.reason) == (OperationState.SUCCEEDED, True, "")
    assert done.finished_at is not None and done.finished_at >= done.started_at
    assert (cancelled.source, cancelled.target, cancelled.state) == ("cold", "warm", OperationState.CANCELLED)
    assert (cancelled.moved, bool(cancelled.reason)) == (False, True)
    await cli.moves(storage.admin, Output.TABLE, "travelled")
    rows = [line for line in capsys.readouterr().out.splitlines() if " ann " in line]  # the server logs there, too
    assert ["cold to warm" in rows[0], "hot to cold" in rows[1], "succeeded" in rows[1]] == [True] * 3
    assert (await storage.admin.call(volumes.MOVES, volume_id=other.id)).moves == []
    with pytest.raises(errors.NotFound):
        await storage.admin.call(volumes.MOVES, volume_id="00000000-0000-0000-0000-000000000000")


async def test_snapshots_inside_a_disk_are_not_lost_by_a_move_while_its_vm_runs(storage: StorageServer) -> None:
    """QEMU mirrors what the guest sees: snapshots that qemu-img has made, and libvirt does not know, are not in the copy."""
    volume = await storage.create_volume("data-snap")
    vm = await storage.vm("web-snap", volume)
    await run("qemu-img", "snapshot", "-c", "before", str(storage.path(volume)))
    await storage.server.parts.inventory.refresh_volumes(volume.host)
    await storage.succeeded(await storage.admin.call(vms.START, vm_id=vm.id))
    with pytest.raises(errors.Conflict, match="data-snap has snapshots inside its file"):
        await move(storage, volume)
    expect_only_file(storage, volume, "hot")
    await storage.succeeded(await storage.admin.call(vms.POWER_OFF, vm_id=vm.id))
    await storage.succeeded(await move(storage, volume))
    path = storage.path(await storage.volume("data-snap"))
    listed = subprocess.run(["qemu-img", "snapshot", "-l", str(path)], capture_output=True, text=True, check=True)
    assert "before" in listed.stdout


async def test_move_is_shown_without_an_event_from_libvirt(
    storage: StorageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = await storage.create_volume("data11")
    vm = await storage.vm("web-11", volume, start=True)
    monkeypatch.setattr(ConnectionSupervisor, "_event_received", lambda *_: None)  # libvirt's events are lost
    await storage.succeeded(await move(storage, volume))
    assert str(storage.path(await storage.volume("data11"))) in storage.disk_paths(vm.id)[0]
    expect_only_file(storage, volume, "cold")


@pytest.mark.timeout(180)
@pytest.mark.parametrize("places", [STOPPED, RUNNING], ids=["stopped", "running"])
async def test_move_that_fails_at_any_step_leaves_one_current_copy(
    storage: StorageServer, monkeypatch: pytest.MonkeyPatch, places: list[str]
) -> None:
    volume = await storage.create_volume(f"data-{places[2]}")
    vm = await storage.vm(f"web-{places[2]}", volume, start=places is RUNNING)
    switch = "pivoted" if places is RUNNING else "switched"
    tier: TierName = "hot"
    other: TierName = "cold"
    for place in places:
        monkeypatch.setenv("NOVACRON_FAILPOINTS", f"volume.move:{place}=error")
        ended = await storage.ended(await move(storage, volume, other))
        assert ended.state is OperationState.FAILED, place
        assert ended.problem is not None
        assert f"failpoint volume.move:{place}" in ended.problem.detail
        moved = places.index(place) >= places.index(switch)
        assert (f"the volume is in {other}" in ended.problem.detail) is moved
        if moved:
            tier, other = other, tier
        await expect_one_copy(storage, vm, volume, tier)
        live, persistent = storage.disk_paths(vm.id)
        assert live == persistent


async def test_live_move_is_rate_limited_reported_and_cancelled(storage: StorageServer) -> None:
    volume = await storage.create_volume("data4")
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


async def test_move_of_a_stopped_vms_disk_is_cancelled(storage: StorageServer) -> None:
    volume = await storage.create_volume("data5")
    vm = await storage.vm("web-5", volume)
    operation = await move(storage, volume, bandwidth_bytes_s=MIB)

    async def copying() -> bool | None:
        return True if any(name.endswith(".part") for _, name in storage.files()) else None

    await until(copying)
    await storage.admin.call(operations.CANCEL, operation_id=operation.id)
    await expect_one_copy(storage, vm, volume, "hot")


async def test_slow_moves_of_one_tenant_hold_up_no_other(storage: StorageServer) -> None:
    """With a rate limit a move lasts as long as its tenant likes."""
    slow = [await storage.create_volume(f"slow-{n}") for n in range(3)]
    moves = [await move(storage, volume, bandwidth_bytes_s=64 * KIB) for volume in slow]
    owner_url = storage.server.postgres.owner_url
    await add_tenant(owner_url, "red")
    async with members_of(storage.server, owner_url, ("rita", "red", Role.OPERATOR)) as (rita,):
        made = await rita.call(volumes.CREATE, body=volumes.VolumeCreate(name="quick", size_bytes=64 * MIB))
        await storage.succeeded(made)
        operation = await rita.call(volumes.MOVE, body=VolumeMove(tier="cold"), volume_id=made.target.id)
        await storage.succeeded(operation)
    for begun in moves:
        now = await storage.admin.call(operations.GET, operation_id=begun.id)
        assert now.state is OperationState.RUNNING
    assert now.step == "waiting for other copies on this host", "a tenant has two at a time"
    for begun in moves:
        await storage.admin.call(operations.CANCEL, operation_id=begun.id)


async def test_one_of_several_concurrent_changes_of_a_volume_is_accepted(storage: StorageServer) -> None:
    volume, vm, tried = await storage.create_volume("wanted"), await storage.vm("web-wanted"), set()
    call, volume_id = storage.admin.call, volume.id
    requests: dict[str, Callable[[TierName], Awaitable[operations.Operation]]] = {
        "move": lambda tier: call(volumes.MOVE, body=VolumeMove(tier=tier), volume_id=volume_id),
        "attach": lambda _: call(volumes.ATTACH, body=volumes.VolumeAttach(vm=vm.id), volume_id=volume_id),
        "resize": lambda _: call(volumes.RESIZE, body=volumes.VolumeResize(size_bytes=80 * MIB), volume_id=volume_id),
        "delete": lambda _: call(volumes.DELETE, volume_id=volume_id),
    }
    for first in requests:  # each kind is sent first once
        now = await storage.volume("wanted")
        tier: TierName = "warm" if now.tier == "hot" else "hot"
        names = [first, *(name for name in requests if name != first)]
        answers = await asyncio.gather(*(requests[name](tier) for name in names), return_exceptions=True)
        accepted = [answer for answer in answers if isinstance(answer, operations.Operation)]
        assert len(accepted) <= 1, answers
        refused = [answer for answer in answers if not isinstance(answer, operations.Operation)]
        assert all(isinstance(a, errors.Conflict | errors.ValidationFailed) for a in refused), answers
        for operation in accepted:
            await storage.succeeded(operation)
            tried.add(operation.kind)
        there = [item for item in storage.files() if item[1].startswith("wanted")]
        rows = [v for v in (await call(volumes.LIST, query=ListQuery(page_size=1000))).items if v.name == "wanted"]
        assert [(v.tier, v.name) for v in rows] == there
        if not there:
            break
        if rows[0].vm:
            await storage.succeeded(await call(volumes.DETACH, volume_id=volume_id))
    assert tried


async def test_refused_move_says_why(storage: StorageServer) -> None:
    volume, free = await storage.create_volume("data6"), await storage.create_volume("free6")
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


async def test_volume_with_inaccessible_files_is_copied_through_the_server(
    storage: StorageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = await storage.create_volume("data7")
    vm = await storage.vm("web-7", volume)
    before = digest(storage.path(volume))

    async def never(*_: object) -> bool:
        return False

    for sync in storage.server.parts.inventory._syncs.values():
        monkeypatch.setattr(sync.host.storage, "sees", never)
    with pytest.raises(AssertionError, match="imit needs direct access"):
        await storage.succeeded(await move(storage, volume, bandwidth_bytes_s=MIB))
    await expect_one_copy(storage, vm, volume, "hot")
    for place, tier in (("compared", "hot"), ("switched", "cold")):
        monkeypatch.setenv("NOVACRON_FAILPOINTS", f"volume.move:{place}=error")
        assert (await storage.ended(await move(storage, volume))).state is OperationState.FAILED
        await expect_one_copy(storage, vm, volume, tier)
    assert digest(storage.path(await storage.volume("data7"))) == before


async def test_volume_written_to_during_the_copy_is_not_moved(storage: StorageServer) -> None:
    volume = await storage.create_volume("data8", image_format="raw")
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
    expect_only_file(storage, volume, "hot")


async def test_vm_started_outside_during_a_move_keeps_its_disk(
    storage: StorageServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    volume = await storage.create_volume("data9")
    vm = await storage.vm("web-9", volume)
    operation = await pause_before_switch(storage, volume, monkeypatch, tmp_path / "go")
    storage.libvirt.lookupByUUIDString(vm.id).create()
    (tmp_path / "go").touch()
    ended = await storage.ended(operation)
    assert ended.state is OperationState.FAILED
    assert ended.problem is not None
    assert "started during the move" in ended.problem.detail
    await expect_one_copy(storage, vm, volume, "hot")
    live, persistent = storage.disk_paths(vm.id)
    assert live == persistent


async def test_copy_through_the_server_that_differs_is_not_used(
    storage: StorageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = await storage.create_volume("data10")

    async def never(*_: object) -> bool:
        return False

    for sync in storage.server.parts.inventory._syncs.values():
        monkeypatch.setattr(sync.host.storage, "sees", never)
    real = Upload._send_pieces

    def send_too_much(self: Upload, stream: object, file: object) -> None:
        real(self, stream, file)  # type: ignore[arg-type]
        stream.send(b"x")  # type: ignore[attr-defined]

    monkeypatch.setattr(Upload, "_send_pieces", send_too_much)
    ended = await storage.ended(await move(storage, volume))
    assert ended.problem is not None
    assert "differs" in ended.problem.detail
    expect_only_file(storage, volume, "hot")
