"""A server process on a private libvirtd with real files, which a test kills and starts again."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import libvirt

from novacron_core.api import hosts, volumes
from novacron_core.api.hosts import HostStatus
from novacron_core.api.operations import Operation
from novacron_core.api.volumes import VolumeMove
from novacron_core.client import Client
from novacron_core.client.credentials import Credentials
from novacron_core.local_server import read_running_server
from novacron_core.values.tiers import TierName
from tests.support.accounts import administrator
from tests.support.libvirtd import PrivateLibvirtd
from tests.support.processes import ServerProcess
from tests.support.server import LiveServer
from tests.support.storage import StorageServer, run
from tests.support.waiting import until


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
        await until(self.has_exited)
        return operation

    def reconnect(self) -> None:
        """Open libvirt's connection of the test anew: its daemon was killed."""
        self.libvirt = libvirt.open(self.daemon.uri)

    async def wait_until_up(self) -> None:
        """Wait until the server is connected to its host again."""

        async def up() -> bool | None:
            found = (await self.admin.call(hosts.LIST)).items
            return True if found and all(each.status is HostStatus.UP for each in found) else None

        await until(up, 60)

    async def has_exited(self) -> bool | None:
        assert self.process._process is not None
        return None if self.process._process.poll() is None else True

    async def wait_until_listed(self, volume_id: str, attached: bool) -> None:
        """Wait until the restarted server lists the volume."""

        async def there() -> bool | None:
            page = await self.admin.call(volumes.LIST)
            return True if any(v.id == volume_id and bool(v.vm) is attached for v in page.items) else None

        await until(there, 30)


@asynccontextmanager
async def open_killable_server(*, hot_elsewhere: bool = False) -> AsyncIterator[KillableStorageServer]:
    """Run one until the end of the block. `hot_elsewhere`: the hot tier is on another file system."""
    folder = Path(tempfile.mkdtemp(prefix="nvk-", dir="/var/tmp"))
    memory = Path(tempfile.mkdtemp(prefix="nv-hot-", dir="/dev/shm"))
    for each in (folder, memory):
        each.chmod(0o711)
    (folder / "lv").mkdir()
    data = folder / "data"
    (data / "images").mkdir(mode=0o711, parents=True)
    data.chmod(0o711)
    if hot_elsewhere:
        (data / "pools").mkdir(mode=0o711)
        (data / "pools/hot").symlink_to(memory)
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
        with suppress(libvirt.libvirtError):
            connection.close()
        daemon.stop()
        for each in (folder, memory):
            shutil.rmtree(each, ignore_errors=True)
