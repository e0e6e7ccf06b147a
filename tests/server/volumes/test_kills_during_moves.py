"""Kills the server at each step of a move, with stopped and running VMs: after the next start one copy is current and
no other is left (G9). NOVACRON_MOVE_KILLS=all kills at every step, else only at the most important ones."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import libvirt
import pytest
import pytest_asyncio

from novacron_core.api import vms, volumes
from novacron_core.api.operations import Operation, OperationState
from novacron_core.api.volumes import VolumeClone, VolumeCreate, VolumeMove
from novacron_core.client import Client
from novacron_core.client.credentials import Credentials
from novacron_core.local_server import read_running_server
from novacron_core.values.tiers import TierName
from tests.support.accounts import administrator
from tests.support.libvirtd import PrivateLibvirtd, require_private_libvirtd
from tests.support.processes import ServerProcess
from tests.support.server import LiveServer
from tests.support.storage import MIB, RUNNING, STOPPED, StorageServer, digest, expect_content, expect_only_file, run
from tests.support.waiting import until

pytestmark = pytest.mark.slow
IMPORTANT = {"stopped": ["compared", "renamed", "switched"], "running": ["mirroring", "pivoted", "told"]}
PLACES = {"stopped": STOPPED, "running": RUNNING} if os.environ.get("NOVACRON_MOVE_KILLS") == "all" else IMPORTANT


class KillableStorageServer(StorageServer):
    """A storage server that runs as a process and can be killed."""

    process: ServerProcess

    async def start(self) -> None:
        await self.process.start()
        running = read_running_server(self.server.data_dir)
        assert running is not None
        self.admin.move(running.url)

    async def crash_during_move(self, place: str, volume: volumes.Volume, tier: TierName, **more: Any) -> Operation:
        """Restart the server with a crash at a failpoint of moves, and request a move of the volume."""
        body = VolumeMove(tier=tier, **more)
        return await self.crash_at(
            f"volume.move:{place}",
            lambda: self.admin.call(volumes.MOVE, body=body, volume_id=volume.id),
            seen=volume.id,
            attached=True,
        )

    async def crash_at(
        self, place: str, request: Callable[[], Awaitable[Operation]], *, seen: str, attached: bool = False
    ) -> Operation:
        """Restart the server with a crash at this failpoint and, once it lists the volume `seen`, send a request."""
        self.process.stop()
        os.environ["NOVACRON_FAILPOINTS"] = f"{place}=crash"
        try:
            await self.start()
        finally:
            del os.environ["NOVACRON_FAILPOINTS"]
        await self.wait_until_listed(seen, attached)
        operation = await request()
        await until(self._has_exited)
        return operation

    async def _has_exited(self) -> bool | None:
        assert self.process._process is not None
        return None if self.process._process.poll() is None else True

    async def wait_until_listed(self, volume_id: str, attached: bool) -> None:
        """Wait until the restarted server lists the volume."""

        async def there() -> bool | None:
            page = await self.admin.call(volumes.LIST)
            return True if any(v.id == volume_id and bool(v.vm) is attached for v in page.items) else None

        await until(there, 30)


@pytest_asyncio.fixture
async def killable() -> AsyncIterator[KillableStorageServer]:
    require_private_libvirtd()
    folder = Path(tempfile.mkdtemp(prefix="nvk-", dir="/var/tmp"))
    folder.chmod(0o711)
    (folder / "lv").mkdir()
    data = folder / "data"
    (data / "images").mkdir(mode=0o711, parents=True)
    data.chmod(0o711)
    await run("qemu-img", "create", "-q", "-f", "qcow2", str(data / "images/empty.qcow2"), "8M")
    daemon = PrivateLibvirtd(folder / "lv", f"far{uuid4().hex[:4]}")
    daemon.start()
    connection = libvirt.open(daemon.uri)
    process = ServerProcess(data, daemon.uri)
    try:
        await process.start()
        url = read_running_server(data).url  # type: ignore[union-attr]
        token = await asyncio.to_thread(lambda: asyncio.run(administrator(url, data)))
        async with Client(url, Credentials(token)) as client:
            made = KillableStorageServer(LiveServer(url, None, client, data), daemon, connection)  # type: ignore[arg-type]
            made.process = process
            await made.three_pools()
            yield made
    finally:
        process.stop()
        connection.close()
        daemon.stop()
        shutil.rmtree(folder, ignore_errors=True)


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
