"""The server is killed in mid-move, at each step, under stopped and running VMs: after the next start one copy counts
and no other is left (promise G9). NOVACRON_MOVE_KILLS=all kills at every step, else at the telling ones."""

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
from tests.support.storage import MIB, RUNNING, STOPPED, StorageServer, digest, only, run, same_content
from tests.support.waiting import until

pytestmark = pytest.mark.slow
TELLING = {"stopped": ["compared", "renamed", "switched"], "running": ["mirroring", "pivoted", "told"]}
PLACES = {"stopped": STOPPED, "running": RUNNING} if os.environ.get("NOVACRON_MOVE_KILLS") == "all" else TELLING


class Far(StorageServer):
    """A storage whose server is a process that can be killed."""

    process: ServerProcess

    async def start(self) -> None:
        await self.process.start()
        running = read_running_server(self.server.data_dir)
        assert running is not None
        self.admin.move(running.url)

    async def crash_in(self, place: str, volume: volumes.Volume, tier: TierName, **more: Any) -> Operation:
        """Restart it so that it dies there, and have it move the volume."""
        body = VolumeMove(tier=tier, **more)
        return await self.die(
            f"volume.move:{place}",
            lambda: self.admin.call(volumes.MOVE, body=body, volume_id=volume.id),
            seen=volume.id,
            attached=True,
        )

    async def die(
        self, place: str, ask: Callable[[], Awaitable[Operation]], *, seen: str, attached: bool = False
    ) -> Operation:
        """Restart it so that it dies there, and ask, once it has seen that volume."""
        self.process.stop()
        os.environ["NOVACRON_FAILPOINTS"] = f"{place}=crash"
        try:
            await self.start()
        finally:
            del os.environ["NOVACRON_FAILPOINTS"]
        await self.seen(seen, attached)
        operation = await ask()
        await until(self._dead)
        return operation

    async def _dead(self) -> bool | None:
        assert self.process._process is not None
        return None if self.process._process.poll() is None else True

    async def seen(self, volume_id: str, attached: bool) -> None:
        """Until the restarted server has read its host."""

        async def there() -> bool | None:
            page = await self.admin.call(volumes.LIST)
            return True if any(v.id == volume_id and bool(v.vm) is attached for v in page.items) else None

        await until(there, 30)


@pytest_asyncio.fixture
async def far() -> AsyncIterator[Far]:
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
            made = Far(LiveServer(url, None, client, data), daemon, connection)  # type: ignore[arg-type]
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
async def test_a_killed_move_is_settled_by_the_next_server(far: Far, how: str) -> None:
    volume = await far.made("data")
    vm = await far.vm("web-01", volume, start=how == "running")
    tier: TierName = "hot"
    other: TierName = "cold"
    for place in PLACES[how]:
        operation = await far.crash_in(place, volume, other)
        await far.start()
        ended = await far.server.ended(operation)
        assert ended.state is OperationState.INTERRUPTED, place
        assert ended.problem is not None
        if _counts(how, place):
            tier, other = other, tier
        assert tier in ended.problem.detail or "was not moved" in ended.problem.detail
        now = await far.volume("data")
        assert now.tier == tier, (place, ended.problem.detail)
        only(far, volume, tier)
        live, persistent = far.disk_paths(vm.id)
        assert live == persistent
        assert str(far.path(now)) in persistent
        same_content(far, far.path(now))
        assert (await far.server.vm("web-01")).state == ("running" if how == "running" else "stopped")


def _counts(how: str, place: str) -> bool:
    """Whether the copy is the one that counts after a death there. A copying that QEMU still does is gone on with."""
    if how == "running":
        return RUNNING.index(place) >= RUNNING.index("mirroring")
    return STOPPED.index(place) >= STOPPED.index("switched")


async def test_a_vm_that_was_stopped_while_no_server_looked_stays_on_its_disk(far: Far) -> None:
    volume = await far.made("data")
    vm = await far.vm("web-01", volume, start=True)
    operation = await far.crash_in("mirroring", volume, "cold", bandwidth_bytes_s=MIB)
    far.libvirt.lookupByUUIDString(vm.id).destroy()
    await far.start()
    ended = await far.server.ended(operation)
    assert ended.problem is not None
    assert "was not moved" in ended.problem.detail
    only(far, volume, "hot")
    same_content(far, far.path(await far.volume("data")))
    assert (await far.admin.call(vms.GET, vm_id=vm.id)).state == "stopped"


@pytest.mark.timeout(120)
async def test_what_a_killed_server_was_making_is_gone_after_the_next_start(far: Far) -> None:
    volume = await far.made("data")
    before, call = digest(far.path(volume)), far.admin.call

    def clone() -> Awaitable[Operation]:
        return call(volumes.CLONE, body=VolumeClone(name="half"), volume_id=volume.id)

    def create() -> Awaitable[Operation]:
        return call(volumes.CREATE, body=VolumeCreate(name="half", size_bytes=MIB))

    for place, ask in (
        ("volume.clone:made", clone),
        ("volume.clone:renamed", clone),
        ("volume.create:made", create),
    ):
        operation = await far.die(place, ask, seen=volume.id)
        assert [name for _, name in far.files() if name.startswith("half")], place
        await far.start()
        ended = await far.server.ended(operation)
        assert ended.state is OperationState.INTERRUPTED, place
        assert ended.problem is not None
        assert "everything that it had created was removed" in ended.problem.detail
        assert far.files() == {("hot", "data")}, place
        assert [v.name for v in (await call(volumes.LIST)).items] == ["data"]
        assert digest(far.path(volume)) == before
    await far.done(await clone())  # the name is free


async def test_a_half_received_image_is_gone_after_the_next_start(far: Far) -> None:
    images = far.server.data_dir / "images"
    running = read_running_server(far.server.data_dir)
    assert running is not None
    address = urlsplit(running.url)
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    head = f"PUT /api/storage/images/half HTTP/1.1\r\nHost: x\r\nContent-Length: {9 * MIB}\r\n"
    writer.write(f"{head}Authorization: Bearer {far.admin.credentials.token}\r\n\r\n".encode() + bytes(4 * MIB))

    async def arriving() -> bool | None:
        return True if [path for path in images.glob(".arriving-*") if path.stat().st_size] else None

    await until(arriving)
    far.process.kill()
    assert list(images.glob(".arriving-*"))
    await far.start()
    assert {path.name for path in images.iterdir()} == {"empty.qcow2"}
    writer.close()
