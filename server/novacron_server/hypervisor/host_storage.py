"""A host's pools and volumes, as coroutines with deadlines and operator-facing errors; available as `host.storage`."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar

from novacron_core.errors import Conflict, Internal, InvalidArgument
from novacron_core.values.tiers import FILE_POOLS
from novacron_server.file_calls import CHANGE_LIMIT_S, FILE_CALLS
from novacron_server.hypervisor.connection.calls import Calls
from novacron_server.hypervisor.connection.supervisor import ConnectionSupervisor, schedule
from novacron_server.hypervisor.connection.uris import is_local, is_simulated
from novacron_server.hypervisor.facts import PoolFacts, VolumeFacts
from novacron_server.hypervisor.pool_listings import PoolListings
from novacron_server.hypervisor.specs import Format, PoolSpec, VolumeSpec, image_format
from novacron_server.hypervisor.storage import volumes
from novacron_server.hypervisor.storage.downloads import Download
from novacron_server.hypervisor.storage.file_copies import FileCopy, rename_new, written_at
from novacron_server.hypervisor.storage.local_capacity import with_directory, with_local_capacity
from novacron_server.hypervisor.storage.uploads import Upload
from novacron_server.hypervisor.transfers import Transfers
from novacron_server.hypervisor.vms.domains import DomainReader
from novacron_server.places import for_everybody
from novacron_server.tasks import cancel_tasks

T = TypeVar("T")
Progress = Callable[[int, int], None]
"""Called in the loop with the bytes transferred so far and the total."""
Begin = Callable[[], Awaitable[object]]
"""Awaited when a transfer has its threads, before it begins."""
RELAY_THREADS = 2
OF_A_TENANT = 2
"""Transfers, and copies of files, at a time on one host. A rate limit makes a copy last for days, and a relay takes as many
threads: others' need some beside them."""
RENAME_LIMIT_S = 60.0
"""A rename flushes the directory. Given up earlier it could still be done, when its operation is undone already."""


async def _nothing() -> None:
    """A `Begin` for transfers whose beginning is not reported."""


class HostStorage(Calls[DomainReader]):
    """Storage calls to a host. Raises the errors that LibvirtHost raises, and Conflict for a pool on this machine whose
    directory does not respond."""

    def __init__(self, supervisor: ConnectionSupervisor[DomainReader]) -> None:
        super().__init__(supervisor)
        self._simulated = is_simulated(supervisor.uri)
        self._local = is_local(supervisor.uri)
        self._pool_creation = asyncio.Lock()
        self.transfers = Transfers(supervisor, supervisor.transfers, OF_A_TENANT)
        self.copies = Transfers(supervisor, supervisor.copies, OF_A_TENANT)
        self._listings = PoolListings(supervisor)
        self._directories: dict[str, str] = {}

    async def read_pools(self) -> list[PoolFacts]:
        """Every pool that can be read, with what this machine knows of its directory."""
        reader = self._supervisor.require().reader
        pools = await self._read_storage(lambda connection: _pools(reader, connection, local=self._local))
        self._directories = {pool.name: pool.path for pool in pools if pool.type in FILE_POOLS and self._local}
        return pools

    async def _require_responding(self, pool: str) -> None:
        """Raises Conflict if the pool's directory does not respond: libvirt would hang in it, and with it the thread."""
        path = self._directories.get(pool)
        if path and path.startswith("/"):
            with suppress(OSError):
                await FILE_CALLS.call(path, lambda: os.statvfs(path), limit_s=CHANGE_LIMIT_S)

    async def read_volumes(
        self,
        *,
        refresh: bool = False,
        wanted: Mapping[str, Collection[str]] | None = None,
        problems: dict[str, str] | None = None,
    ) -> list[VolumeFacts]:
        """Volumes of the active pools that can be read. `refresh` makes libvirt scan for new files first.

        Of a pool that cannot be listed, those in `wanted` (pool → names) are looked up, or its last listing is
        returned; `problems` gets the reason (pool → sentence).
        """
        pools = [pool for pool in await self.read_pools() if pool.active]
        listings = await self._listings.read(pools, refresh=refresh, wanted=wanted or {})
        if problems is not None:
            problems |= {name: problem for name, (_, problem) in listings.items() if problem}
        return [volume for listed, _ in listings.values() for volume in listed]

    async def ensure_pool(self, spec: PoolSpec) -> PoolFacts:
        """Create and start the pool if needed. Raises Conflict if another pool has its name."""
        async with self._pool_creation:
            with for_everybody():
                facts = await self._change("create the storage pool", volumes.ensure_pool, spec)
        await self.read_pools()  # so that disks in it are recognized as its volumes
        return facts

    async def delete_pool(self, name: str) -> None:
        """Remove an empty pool made by NovaCron; succeeds if there is none. Raises Conflict if it has volumes."""
        await self._change("delete the storage pool", volumes.delete_pool, name)

    async def create_volume(self, spec: VolumeSpec, *, new: bool = False) -> VolumeFacts:
        """Create a thin volume. Succeeds if the same one exists, unless `new`. Conflict if the name is taken."""
        await self._require_responding(spec.pool)
        return await self._change("create the volume", volumes.create_volume, spec, new=new)

    async def require_pool(self, name: str) -> None:
        """Raises Conflict if the pool is not defined."""
        await self._read_storage(lambda connection: volumes.require_pool(connection, name))

    async def delete_volume(self, pool: str, name: str, *, undo: bool = False) -> None:
        """Delete a volume; succeeds if there is none. Conflict if the pool is not defined, unless `undo`: then there
        is nothing to remove."""
        await self._require_responding(pool)
        await self._change("delete the volume", volumes.delete_volume, pool, name, undo=undo)

    async def resize_volume(self, pool: str, name: str, size_bytes: int, image: Format) -> None:
        """Grow a volume that was created with the format `image`. Raises Conflict for a smaller size, or if libvirt
        detects another format; a simulated host accepts only the current size."""
        await self._require_responding(pool)
        await self._change("resize the volume", volumes.resize_volume, pool, name, size_bytes, image)

    async def read_volume(self, pool: str, name: str) -> VolumeFacts | None:
        """Read one volume again; None if there is none."""
        await self._require_responding(pool)
        return await self._read_storage(lambda connection: volumes.read_volume_named(connection, pool, name))

    async def refresh_pool(self, pool: str) -> None:
        """Make libvirt scan a pool's directory again. Raises Conflict while something is copied into it."""
        await self._require_responding(pool)
        await self._change("refresh the pool", volumes.refresh_pool, pool)

    async def sees(self, facts: VolumeFacts) -> bool:
        """Whether this process can read and write the file that libvirt has at this path. Raises Conflict if its
        directory does not respond."""
        return self._local and not self._simulated and await self.examine(facts.path, lambda: _is_same_file(facts))

    async def examine(self, path: str | Path, work: Callable[[], T], *, limit_s: float = CHANGE_LIMIT_S) -> T:
        """Make a call about a file that this process sees. Raises Conflict with the reason if it fails, or if the
        file's directory does not respond within the limit."""
        try:
            return await FILE_CALLS.call(str(path), work, limit_s=limit_s)
        except OSError as error:
            raise Conflict(f"cannot examine {Path(path).name}: {error.strerror or error}") from error

    async def copy_file(
        self,
        source: Path,
        target: Path,
        progress: Progress,
        *,
        tenant: str | None,
        begin: Begin = _nothing,
        bandwidth_bytes_s: int = 0,
    ) -> tuple[int, int]:
        """Copy a volume's file over another's, flush it to the disk and compare. Only if `sees` is true for both.
        `tenant` is the one that the copy is made for.

        Returns `written_at` of the copied source. Raises Conflict (no space left, source written to during the copy)
        and Internal if the copy differs. Cancel the task to stop it.
        """
        report = partial(schedule, asyncio.get_running_loop(), progress)
        copy = FileCopy(source, target, report, threading.Event(), bandwidth_bytes_s)
        async with self.copies.threads.hold(tenant):
            await begin()
            return await self.copies.run(copy, lambda _connection: copy.run(), "copy the volume")

    async def written_at(self, path: Path) -> tuple[int, int]:
        """The modification time of a file in nanoseconds, and its size: together they change with every write."""
        return await self.examine(path, lambda: written_at(path))

    async def rename_file(self, old: Path, new: Path) -> None:
        """Rename a copied file to its final name. Raises Conflict if another file has that name."""
        await self.examine(old, lambda: rename_new(old, new), limit_s=RENAME_LIMIT_S)

    async def relay(
        self,
        source: VolumeFacts,
        pool: str,
        name: str,
        progress: Progress,
        *,
        tenant: str | None,
        begin: Begin = _nothing,
    ) -> None:
        """Copy a volume over another through this server for this tenant, and read the copy back to compare.

        Raises Internal if the copy differs. Cancel the task to stop it.
        """
        async with self.transfers.threads.hold(tenant, RELAY_THREADS):
            await begin()
            await self._relay(source, pool, name, progress)

    async def _relay(self, source: VolumeFacts, pool: str, name: str, progress: Progress) -> None:
        loop, run = asyncio.get_running_loop(), self.transfers.run
        length = source.file_bytes or source.allocated_bytes  # holes count, but are not transferred
        # A new qcow2 has tables where the source may have a hole; a new raw volume is one hole.
        target = await self.read_volume(pool, name) if image_format(source) == "qcow2" else None

        def report(sent: int, _total: int) -> None:
            schedule(loop, progress, sent, 2 * length)

        reading, writing = os.pipe()  # it also limits how far the download can run ahead of the upload
        with os.fdopen(reading, "rb", buffering=0) as out, os.fdopen(writing, "wb", buffering=0) as into:
            download = Download(into, threading.Event())
            upload = Upload(lambda: out, None, report, threading.Event(), target.file_bytes if target else 0)
            await run_both(
                run(upload, lambda c: upload.run(c, pool, name), "write the copy"),
                run(download, lambda c: download.run(c, source.pool, source.name), "read the volume"),
                closing=(out, into),
            )
        check = Download(None, threading.Event(), lambda received: report(length + received, 0))
        await run(check, lambda c: check.run(c, pool, name), "read the copy back")
        if check.checksum != download.checksum:
            raise Internal("the copy differs from the volume and was not used")

    async def upload_volume(
        self,
        pool: str,
        name: str,
        source: Path,
        progress: Progress = lambda _sent, _total: None,
        *,
        tenant: str | None,
        cancel: threading.Event | None = None,
    ) -> None:
        """Copy a file of this machine into a volume of this tenant. `progress(sent, total)` in bytes, at most four times a second.

        Setting `cancel` stops it between two chunks with Conflict; cancelling the task does too. The data sent by then
        stays: delete the volume. A simulated host cannot boot and refuses data, so the file is deliberately not sent to
        it. Raises HostUnavailable if there is no progress for `Timing.stall_s`.
        """
        total = await self.examine(source, lambda: _size(source))
        if self._simulated:
            self._supervisor.require()
            progress(total, total)
            return
        report = partial(schedule, asyncio.get_running_loop(), progress)
        upload = Upload(lambda: _open_image(source), total, report, cancel or threading.Event())
        async with self.transfers.threads.hold(tenant):
            await self.transfers.run(upload, lambda connection: upload.run(connection, pool, name), "copy the image")


async def run_both(*halves: Coroutine[Any, Any, object], closing: Sequence[IO[bytes]]) -> None:
    """Run both ends of a pipe; when one ends, its side is closed, so that the other does not wait forever.

    Raises the root cause: a broken pipe at one end is only the consequence of an error at the other.
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
        await cancel_tasks(tasks)
    failures = [error for task in tasks if (error := task.exception())]
    for error in sorted(failures, key=lambda error: isinstance(error.__cause__, BrokenPipeError)):
        raise error


def _pools(reader: DomainReader, connection: Any, *, local: bool) -> list[PoolFacts]:
    pools = volumes.read_pools(connection)
    reader.set_pools({pool.path: pool.name for pool in pools if pool.path.startswith("/")})
    pools = [with_directory(pool, local=local) for pool in pools]
    return [with_local_capacity(pool) for pool in pools] if local else pools


def _size(source: Path) -> int:
    try:
        return source.stat().st_size
    except OSError as error:
        raise InvalidArgument(f"cannot read the image: {error.strerror}") from error


def _open_image(source: Path) -> IO[bytes]:
    try:
        return source.open("rb")
    except OSError as error:
        raise InvalidArgument(f"cannot read the image: {error.strerror}") from error


def _is_same_file(facts: VolumeFacts) -> bool:
    """The path may be another file here than for libvirt (a mount namespace): the modification times must match."""
    try:
        found = Path(facts.path).stat()
    except OSError:
        return False
    allowed = os.access(facts.path, os.R_OK | os.W_OK) and os.access(Path(facts.path).parent, os.W_OK | os.X_OK)
    return allowed and stat.S_ISREG(found.st_mode) and found.st_mtime_ns == facts.modified_ns
