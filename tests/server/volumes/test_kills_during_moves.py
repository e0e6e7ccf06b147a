"""Kills the server at each step of a move, with stopped and running VMs: after the next start one copy is current and
no other is left (G9). NOVACRON_MOVE_KILLS=all kills at every step, else only at the most important ones."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from novacron_core.api import vms, volumes
from novacron_core.api.operations import Operation, OperationState
from novacron_core.api.volumes import VolumeClone, VolumeCreate
from novacron_core.local_server import read_running_server
from novacron_core.values.tiers import TierName
from tests.support.killable import KillableStorageServer, open_killable_server
from tests.support.libvirtd import require_private_libvirtd
from tests.support.storage import MIB, RUNNING, STOPPED, digest, expect_content, expect_only_file
from tests.support.waiting import until

pytestmark = pytest.mark.slow
IMPORTANT = {"stopped": ["compared", "renamed", "switched"], "running": ["mirroring", "pivoted", "told"]}
PLACES = {"stopped": STOPPED, "running": RUNNING} if os.environ.get("NOVACRON_MOVE_KILLS") == "all" else IMPORTANT


@pytest_asyncio.fixture
async def killable() -> AsyncIterator[KillableStorageServer]:
    require_private_libvirtd()
    async with open_killable_server() as made:
        yield made


@pytest.mark.timeout(60 + 20 * sum(map(len, PLACES.values())))
@pytest.mark.parametrize("how", PLACES)
async def test_next_server_ends_a_killed_move_with_one_copy(killable: KillableStorageServer, how: str) -> None:
    volume = await killable.create_volume("data")
    vm = await killable.vm("web-01", volume, start=how == "running")
    tier: TierName = "hot"
    other: TierName = "cold"
    for place in PLACES[how]:
        operation = await killable.crash_during_move(place, volume, other)
        await killable.start()
        ended = await killable.server.ended(operation)
        assert ended.state is OperationState.INTERRUPTED, place
        assert ended.problem is not None
        if _is_moved(how, place):
            tier, other = other, tier
        assert tier in ended.problem.detail or "was not moved" in ended.problem.detail
        now = await killable.volume("data")
        assert now.tier == tier, (place, ended.problem.detail)
        expect_only_file(killable, volume, tier)
        live, persistent = killable.disk_paths(vm.id)
        assert live == persistent
        assert str(killable.path(now)) in persistent
        expect_content(killable, killable.path(now))
        assert (await killable.server.vm("web-01")).state == ("running" if how == "running" else "stopped")


def _is_moved(how: str, place: str) -> bool:
    """Whether the new copy is current after a crash there. A copy that QEMU is still making is continued."""
    if how == "running":
        return RUNNING.index(place) >= RUNNING.index("mirroring")
    return STOPPED.index(place) >= STOPPED.index("switched")


async def test_vm_stopped_while_no_server_ran_keeps_its_disk(killable: KillableStorageServer) -> None:
    volume = await killable.create_volume("data")
    vm = await killable.vm("web-01", volume, start=True)
    operation = await killable.crash_during_move("mirroring", volume, "cold", bandwidth_bytes_s=MIB)
    killable.libvirt.lookupByUUIDString(vm.id).destroy()
    await killable.start()
    ended = await killable.server.ended(operation)
    assert ended.problem is not None
    assert "was not moved" in ended.problem.detail
    expect_only_file(killable, volume, "hot")
    expect_content(killable, killable.path(await killable.volume("data")))
    assert (await killable.admin.call(vms.GET, vm_id=vm.id)).state == "stopped"


@pytest.mark.timeout(120)
async def test_unfinished_volume_is_removed_after_the_next_start(killable: KillableStorageServer) -> None:
    volume = await killable.create_volume("data")
    before, call = digest(killable.path(volume)), killable.admin.call

    def clone() -> Awaitable[Operation]:
        return call(volumes.CLONE, body=VolumeClone(name="half"), volume_id=volume.id)

    def create() -> Awaitable[Operation]:
        return call(volumes.CREATE, body=VolumeCreate(name="half", size_bytes=MIB))

    for place, request in (
        ("volume.clone:made", clone),
        ("volume.clone:renamed", clone),
        ("volume.create:made", create),
    ):
        operation = await killable.crash_at(place, request, seen=volume.id)
        assert [name for _, name in killable.files() if name.startswith("half")], place
        await killable.start()
        ended = await killable.server.ended(operation)
        assert ended.state is OperationState.INTERRUPTED, place
        assert ended.problem is not None
        assert "everything that it had created was removed" in ended.problem.detail
        assert killable.files() == {("hot", "data")}, place
        assert [v.name for v in (await call(volumes.LIST)).items] == ["data"]
        assert digest(killable.path(volume)) == before
    await killable.succeeded(await clone())  # the name is free


async def test_partial_image_upload_is_removed_after_the_next_start(killable: KillableStorageServer) -> None:
    images = killable.server.data_dir / "images"
    running = read_running_server(killable.server.data_dir)
    assert running is not None
    address = urlsplit(running.url)
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    head = f"PUT /api/storage/images/half HTTP/1.1\r\nHost: localhost\r\nContent-Length: {9 * MIB}\r\n"
    writer.write(f"{head}Authorization: Bearer {killable.admin.credentials.token}\r\n\r\n".encode() + bytes(4 * MIB))

    async def arriving() -> bool | None:
        return True if [path for path in images.glob(".arriving-*") if path.stat().st_size] else None

    await until(arriving)
    killable.process.kill()
    assert list(images.glob(".arriving-*"))
    await killable.start()
    assert {path.name for path in images.iterdir()} == {"empty.qcow2"}
    writer.close()
