"""A host's pools and volumes, as coroutines with deadlines and errors for operators."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from novacron_core.errors import HostUnavailable, InvalidArgument
from novacron_server.hypervisor import storage
from novacron_server.hypervisor.domains import DomainReader
from novacron_server.hypervisor.facts import PoolFacts, VolumeFacts
from novacron_server.hypervisor.link import Link, retrieve, soon
from novacron_server.hypervisor.local_disks import measured
from novacron_server.hypervisor.specs import PoolSpec, VolumeSpec
from novacron_server.hypervisor.uploads import Upload
from novacron_server.hypervisor.uris import is_local, is_simulated

T = TypeVar("T")


class HostStorage:
    """What can be asked of a host's storage; reached as `host.storage`, and raises what a Host raises."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._simulated = is_simulated(link.uri)
        self._local = is_local(link.uri)
        self._one_pool_made = asyncio.Lock()

    async def read_pools(self) -> list[PoolFacts]:
        reader = self._link.require().reader
        return await self._read(lambda connection: _pools(reader, connection, local=self._local))

    async def read_volumes(self, *, refresh: bool = False) -> list[VolumeFacts]:
        """Volumes of the active pools that can be read. `refresh` looks for files that came behind our back."""
        return await self._read(lambda connection: storage.read_volumes(connection, refresh=refresh))

    async def ensure_pool(self, spec: PoolSpec) -> PoolFacts:
        """The pool, there and active. Conflict when its name is another pool's."""
        async with self._one_pool_made:
            facts = await self._change("make the storage pool", storage.ensure_pool, spec)
        await self.read_pools()  # so that disks in it are known as its volumes from now on
        return facts

    async def delete_pool(self, name: str) -> None:
        """Removes an empty pool; fine when there is none. Conflict while it holds volumes. Only for pools of ours."""
        await self._change("delete the storage pool", storage.delete_pool, name)

    async def create_volume(self, spec: VolumeSpec) -> VolumeFacts:
        """A thin volume; the same one again is fine. Conflict when its name is another's."""
        return await self._change("create the volume", storage.create_volume, spec)

    async def delete_volume(self, pool: str, name: str) -> None:
        """Removes a volume; fine when there is none."""
        await self._change("delete the volume", storage.delete_volume, pool, name)

    async def resize_volume(self, pool: str, name: str, size_bytes: int) -> None:
        """Grows a volume. Conflict to shrink it; a simulated host can only be asked for the size it has."""
        await self._change("resize the volume", storage.resize_volume, pool, name, size_bytes)

    async def upload_volume(
        self,
        pool: str,
        name: str,
        source: Path,
        progress: Callable[[int, int], None] = lambda _sent, _total: None,
        *,
        cancel: threading.Event | None = None,
    ) -> None:
        """Copies a file of this machine into a volume. `progress(sent, total)` in bytes, at most four times a second.

        Setting `cancel` ends it between two pieces with Conflict; cancelling the task does so too. What was sent by
        then stays: delete the volume. A simulated host has nothing to boot and refuses data, so there the file is
        deliberately not sent. HostUnavailable when nothing moves for `Timing.stall_s`.
        """
        total = await asyncio.to_thread(_size, source)
        if self._simulated:
            self._link.require()
            progress(total, total)
            return
        report = partial(soon, asyncio.get_running_loop(), progress)
        await self._watch_upload(Upload(source, report, cancel or threading.Event()), pool, name)

    async def _watch_upload(self, upload: Upload, pool: str, name: str) -> None:
        task = asyncio.create_task(
            self._link.call(
                self._link.transfers, lambda connection: upload.run(connection, pool, name), what="copy the image"
            )
        )
        task.add_done_callback(retrieve)
        stall_s = self._link.timing.stall_s
        try:
            while not (await asyncio.wait({task}, timeout=1.0))[0]:
                if time.monotonic() - upload.moved_at > stall_s:
                    raise HostUnavailable(f"cannot copy the image: nothing moved for {stall_s:.0f} seconds")
            task.result()
        finally:
            upload.cancel.set()
            # Wait for the thread to let go of the volume, so that the caller can delete it.
            await asyncio.wait({task}, timeout=5.0)
            task.cancel()

    async def _read(self, work: Callable[[Any], T]) -> T:
        return await self._link.call(self._link.storage, work, deadline_s=self._link.timing.read_s)

    async def _change(self, what: str, call: Callable[..., T], *arguments: Any) -> T:
        return await self._link.call(
            self._link.changes,
            lambda connection: call(connection, *arguments),
            what=what,
            deadline_s=self._link.timing.change_s,
        )


def _pools(reader: DomainReader, connection: Any, *, local: bool) -> list[PoolFacts]:
    pools = storage.read_pools(connection)
    reader.know_pools({pool.path: pool.name for pool in pools if pool.path.startswith("/")})
    return [measured(pool) for pool in pools] if local else pools


def _size(source: Path) -> int:
    try:
        return source.stat().st_size
    except OSError as error:
        raise InvalidArgument(f"the image cannot be read: {error.strerror}") from error
