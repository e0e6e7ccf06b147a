"""A host's pools and volumes, as coroutines with deadlines and errors for operators."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any, Protocol, TypeVar

from novacron_core.errors import HostUnavailable, Internal, InvalidArgument
from novacron_server.hypervisor.connection.calls import Calls
from novacron_server.hypervisor.connection.supervisor import ConnectionSupervisor, retrieve, soon
from novacron_server.hypervisor.connection.uris import is_local, is_simulated
from novacron_server.hypervisor.facts import PoolFacts, VolumeFacts
from novacron_server.hypervisor.specs import Format, PoolSpec, VolumeSpec
from novacron_server.hypervisor.storage import volumes
from novacron_server.hypervisor.storage.downloads import Download
from novacron_server.hypervisor.storage.file_copies import FileCopy, rename_new, written_at
from novacron_server.hypervisor.storage.local_capacity import with_local_capacity
from novacron_server.hypervisor.storage.uploads import Upload
from novacron_server.hypervisor.vms.domains import DomainReader

T = TypeVar("T")
Progress = Callable[[int, int], None]
"""Called in the loop with how many bytes of how many are through."""


class Transfer(Protocol):
    """Bytes on their way in a worker thread: when they last moved, and what ends it."""

    moved_at: float
    cancel: threading.Event


class HostStorage(Calls[DomainReader]):
    """What can be asked of a host's storage; reached as `host.storage`, and raises what a Host raises."""

    def __init__(self, supervisor: ConnectionSupervisor[DomainReader]) -> None:
        super().__init__(supervisor)
        self._simulated = is_simulated(supervisor.uri)
        self._local = is_local(supervisor.uri)
        self._one_pool_made = asyncio.Lock()

    async def read_pools(self) -> list[PoolFacts]:
        reader = self._supervisor.require().reader
        return await self._read_storage(lambda connection: _pools(reader, connection, local=self._local))

    async def read_volumes(self, *, refresh: bool = False) -> list[VolumeFacts]:
        """Volumes of the active pools that can be read. `refresh` looks for files that came behind our back."""
        return await self._read_storage(lambda connection: volumes.read_volumes(connection, refresh=refresh))

    async def ensure_pool(self, spec: PoolSpec) -> PoolFacts:
        """The pool, there and active. Conflict when its name is another pool's."""
        async with self._one_pool_made:
            facts = await self._change("make the storage pool", volumes.ensure_pool, spec)
        await self.read_pools()  # so that disks in it are known as its volumes from now on
        return facts

    async def delete_pool(self, name: str) -> None:
        """Removes an empty pool; fine when there is none. Conflict while it holds volumes. Only for pools of ours."""
        await self._change("delete the storage pool", volumes.delete_pool, name)

    async def create_volume(self, spec: VolumeSpec, *, new: bool = False) -> VolumeFacts:
        """A thin volume; the same one again is fine, unless it must be `new`. Conflict when its name is another's."""
        return await self._change("create the volume", volumes.create_volume, spec, new=new)

    async def delete_volume(self, pool: str, name: str) -> None:
        """Removes a volume; fine when there is none."""
        await self._change("delete the volume", volumes.delete_volume, pool, name)

    async def resize_volume(self, pool: str, name: str, size_bytes: int, image: Format) -> None:
        """Grows a volume that was made as `image`. Conflict to shrink it, or when it looks like something else by now;
        a simulated host can only be asked for the size it has."""
        await self._change("resize the volume", volumes.resize_volume, pool, name, size_bytes, image)

    async def read_volume(self, pool: str, name: str) -> VolumeFacts | None:
        """One volume, read anew; None when there is none."""
        return await self._read_storage(lambda connection: volumes.read_volume_named(connection, pool, name))

    async def refresh_pool(self, pool: str) -> None:
        """Has libvirt look at a pool's directory again. Conflict while something is copied into it."""
        await self._change("look at the pool again", volumes.refresh_pool, pool)

    async def sees(self, facts: VolumeFacts) -> bool:
        """Whether this process can read and write that very file."""
        return self._local and not self._simulated and await asyncio.to_thread(_is_ours, facts)

    async def copy_file(
        self, source: Path, target: Path, progress: Progress, *, bandwidth_bytes_s: int = 0
    ) -> tuple[int, int]:
        """Copies a volume's file over another's, flushed to the disk and compared. For files that `sees` knows.

        Returns what `written_at` says of the source that was copied. Raises Conflict (no space, written to meanwhile), Internal when the copy differs. Cancelling ends it.
        """
        report = partial(soon, asyncio.get_running_loop(), progress)
        copy = FileCopy(source, target, report, threading.Event(), bandwidth_bytes_s)
        return await self._watch(copy, lambda _connection: copy.run(), "copy the volume")

    async def written_at(self, path: Path) -> tuple[int, int]:
        """What changes whenever somebody writes to a file: its time stamp in nanoseconds, and its size."""
        return await asyncio.to_thread(written_at, path)

    async def rename_file(self, old: Path, new: Path) -> None:
        """Gives a copied file its name, never over another's. Raises Conflict."""
        await asyncio.to_thread(rename_new, old, new)

    async def relay(self, source: VolumeFacts, pool: str, name: str, progress: Progress) -> None:
        """Copies a volume over another through this server, and reads the copy back to compare. Cancelling ends it.

        Raises Internal when the copy differs.
        """
        loop = asyncio.get_running_loop()
        length = source.file_bytes or source.allocated_bytes  # holes are sent too, and read back

        def report(sent: int, _total: int) -> None:
            soon(loop, progress, sent, 2 * length)

        reading, writing = os.pipe()  # which also keeps the one from running ahead of the other
        with os.fdopen(reading, "rb", buffering=0) as out, os.fdopen(writing, "wb", buffering=0) as into:
            down = Download(into, threading.Event())
            up = Upload(lambda: out, None, report, threading.Event())
            await _both(
                self._watch(up, lambda c: up.run(c, pool, name), "write the copy"),
                self._watch(down, lambda c: down.run(c, source.pool, source.name), "read the volume"),
                closing=(out, into),
            )
        back = Download(None, threading.Event(), lambda got: report(length + got, 0))
        await self._watch(back, lambda c: back.run(c, pool, name), "read the copy back")
        if back.sha256 != down.sha256:
            raise Internal("the copy differs from the volume: it was not used")

    async def upload_volume(
        self,
        pool: str,
        name: str,
        source: Path,
        progress: Progress = lambda _sent, _total: None,
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
            self._supervisor.require()
            progress(total, total)
            return
        report = partial(soon, asyncio.get_running_loop(), progress)
        upload = Upload(lambda: _opened(source), total, report, cancel or threading.Event())
        await self._watch(upload, lambda connection: upload.run(connection, pool, name), "copy the image")

    async def _watch(self, transfer: Transfer, work: Callable[[Any], T], what: str) -> T:
        """Runs it in a thread for transfers; ends it when nothing moves, or when the task is cancelled."""
        task = asyncio.create_task(self._supervisor.call(self._supervisor.transfers, work, what=what))
        task.add_done_callback(retrieve)
        stall_s = self._supervisor.timing.stall_s
        try:
            while not (await asyncio.wait({task}, timeout=1.0))[0]:
                if time.monotonic() - transfer.moved_at > stall_s:
                    raise HostUnavailable(f"cannot {what}: nothing moved for {stall_s:.0f} seconds")
            return task.result()
        finally:
            transfer.cancel.set()
            # Wait for the thread to let go of the volume, so that the caller can delete it.
            await asyncio.wait({task}, timeout=5.0)
            task.cancel()


async def _both(*halves: Coroutine[Any, Any, object], closing: Sequence[IO[bytes]]) -> None:
    """Runs both ends of a pipe; when one ends, its side is closed, so that the other does not wait for ever.

    Raises the first reason: that the pipe broke is only what the other end heard of it.
    """

    async def run(half: Coroutine[Any, Any, object], end: IO[bytes]) -> None:
        try:
            await half
        finally:
            end.close()

    tasks = [asyncio.ensure_future(run(half, end)) for half, end in zip(halves, closing, strict=True)]
    try:
        await asyncio.wait(tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    failures = [error for task in tasks if (error := task.exception())]
    for error in sorted(failures, key=lambda error: isinstance(error, OSError)):
        raise error


def _pools(reader: DomainReader, connection: Any, *, local: bool) -> list[PoolFacts]:
    pools = volumes.read_pools(connection)
    reader.know_pools({pool.path: pool.name for pool in pools if pool.path.startswith("/")})
    return [with_local_capacity(pool) for pool in pools] if local else pools


def _size(source: Path) -> int:
    try:
        return source.stat().st_size
    except OSError as error:
        raise InvalidArgument(f"the image cannot be read: {error.strerror}") from error


def _opened(source: Path) -> IO[bytes]:
    try:
        return source.open("rb")
    except OSError as error:
        raise InvalidArgument(f"the image cannot be read: {error.strerror}") from error


def _is_ours(facts: VolumeFacts) -> bool:
    """The path may be another file here than it is for libvirt (a mount namespace): its time stamp tells."""
    try:
        seen = Path(facts.path).stat()
    except OSError:
        return False
    may = os.access(facts.path, os.R_OK | os.W_OK) and os.access(Path(facts.path).parent, os.W_OK | os.X_OK)
    return may and stat.S_ISREG(seen.st_mode) and seen.st_mtime_ns == facts.modified_ns
