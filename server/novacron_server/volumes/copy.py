"""A complete, compared copy of a volume in another pool, and removing an unfinished one.

If this process sees the host's files, the copy is written under a temporary name, flushed, compared and only then
renamed. Otherwise it is uploaded through this server, read back and compared; flushing is then up to the host.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import structlog

from novacron_core import errors
from novacron_server.hypervisor.facts import VolumeFacts
from novacron_server.hypervisor.host import LibvirtHost
from novacron_server.hypervisor.host_storage import RELAY_THREADS, Begin
from novacron_server.hypervisor.specs import VolumeSpec, image_format, with_creation_format
from novacron_server.inventory.operation_files import temporary_name
from novacron_server.operations.context import OperationContext
from novacron_server.operations.failpoints import failpoint
from novacron_server.operations.journal import Steps
from novacron_server.operations.progress import TransferProgress
from novacron_server.places import Places

_log = structlog.get_logger()
_REFRESH_TRIES = 20


class CopyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A copy in the journal. `path` is on the host; `temporary` is its name until it is complete, empty if it has none;
    `inode` identifies the file among others of the same name, 0 if this process does not see it."""

    pool: str
    name: str
    path: str = ""
    temporary: str = ""
    inode: int = 0


class CopySteps(Steps, frozen=True):
    """The journal of an operation that creates a volume. `left`: the copy is unused and could not be removed yet."""

    copy: CopyRecord | None = None
    left: bool = False

    def files(self) -> Iterable[tuple[str, str]]:
        names = (self.copy.name, self.copy.temporary) if self.copy else ()
        return [(self.copy.pool, name) for name in names if name] if self.copy else []


class VolumeCopy:
    """Copies the volume `source` to `name`, in a pool at `folder`. The journal's `copy` names what it creates."""

    def __init__(
        self, context: OperationContext[Any], host: LibvirtHost, source: VolumeFacts, pool: str, folder: str, name: str
    ) -> None:
        self._context, self._host, self._source = context, host, source
        self._pool, self._name = pool, name
        self.path = f"{folder}/{name}"
        self._temporary = temporary_name(name, context.id)
        self._tenant = context.operation.tenant
        self._compared_version: tuple[int, int] | None = None

    async def make(self, bandwidth_bytes_s: int = 0) -> None:
        """Copy it. Raises Conflict (name taken, no space, cancelled), Internal (copy differs), HostUnavailable."""
        kind = self._context.operation.kind
        source = await self._host.storage.read_volume(self._source.pool, self._source.name)
        if source is None:
            raise errors.NotFound(f"the volume {self._source.name} no longer exists")
        # Read it again: its current timestamp shows whether this process sees the same file.
        self._source = with_creation_format(source, self._source.format)
        await check_file_name_free(self._host, self._pool, self._name)
        through_server = self._host.simulated or not await self._host.storage.sees(self._source)
        if not through_server and not await self._copy_file(bandwidth_bytes_s):
            through_server = True
        if through_server:
            await self._copy_through_server(bandwidth_bytes_s)
        await failpoint(f"{kind}:named")

    async def check_unchanged(self) -> None:
        """Raises Conflict when the source was written to after the copy. Not checked if this process cannot see it."""
        if (
            self._compared_version
            and await self._host.storage.written_at(Path(self._source.path)) != self._compared_version
        ):
            raise errors.Conflict(f"{self._source.name} was written to after it was copied: it was not moved")

    async def _copy_file(self, bandwidth_bytes_s: int) -> bool:
        """Copy between local files. Returns False if the host's folder is not the one that this process sees."""
        kind, storage = self._context.operation.kind, self._host.storage
        await self._context.write_ahead(copy=self._record(self._temporary))
        await failpoint(f"{kind}:planned")
        created = await storage.create_volume(self._spec(self._temporary))
        if not await storage.sees(created):
            await storage.delete_volume(self._pool, self._temporary)
            return False
        target = Path(created.path)
        await self._context.write_ahead(copy=self._record(self._temporary, await inode_of(self._host, created)))
        await failpoint(f"{kind}:made")
        begin = await self._waiting("copying, then comparing", storage.copies.threads)
        async with TransferProgress(self._context) as progress:
            source = Path(self._source.path)
            self._compared_version = await storage.copy_file(
                source, target, progress, tenant=self._tenant, begin=begin, bandwidth_bytes_s=bandwidth_bytes_s
            )
        await failpoint(f"{kind}:compared")
        await storage.rename_file(target, Path(self.path))
        await failpoint(f"{kind}:renamed")
        await _wait_until_listed(self._host, self._pool, self._name)
        return True

    async def _copy_through_server(self, bandwidth_bytes_s: int) -> None:
        kind, storage = self._context.operation.kind, self._host.storage
        if bandwidth_bytes_s:
            raise errors.Unsupported(
                "a rate limit needs direct access to the host's files, which this server does not have"
            )
        await self._context.write_ahead(copy=self._record(""))
        await failpoint(f"{kind}:planned")
        await create_recorded(self._context, self._host, self._spec(self._name))
        if self._host.simulated:
            return  # a simulated volume has no bytes
        await failpoint(f"{kind}:made")
        begin = await self._waiting(
            "copying through this server, then comparing", storage.transfers.threads, RELAY_THREADS
        )
        async with TransferProgress(self._context) as progress:
            await storage.relay(self._source, self._pool, self._name, progress, tenant=self._tenant, begin=begin)
        await failpoint(f"{kind}:compared")

    async def _waiting(self, step: str, threads: Places, count: int = 1) -> Begin:
        """Report that the copy waits for others, if it does. Returns what reports `step` when its turn has come."""
        if threads.must_wait(self._tenant, count):
            await self._context.report_step("waiting for other copies on this host")
        return partial(self._context.report_step, step)

    def _spec(self, name: str) -> VolumeSpec:
        size, kind = self._source.size_bytes, image_format(self._source)
        return VolumeSpec(pool=self._pool, name=name, size_bytes=size, format=kind)

    def _record(self, temporary: str, inode: int = 0) -> CopyRecord:
        return CopyRecord(pool=self._pool, name=self._name, path=self.path, temporary=temporary, inode=inode)


async def inode_of(host: LibvirtHost, created: VolumeFacts) -> int:
    """The inode of a volume's file, 0 if this process does not see it."""
    if not await host.storage.sees(created):
        return 0
    return (await host.storage.examine(created.path, Path(created.path).stat)).st_ino


async def check_file_name_free(host: LibvirtHost, pool: str, name: str) -> None:
    """Raises Conflict when the pool has a volume of that name, or a file that libvirt had not listed yet."""
    try:
        await host.storage.refresh_pool(pool)
    except errors.Conflict as e:
        _log.info("the pool is busy: using its last file list", pool=pool, reason=e.detail)
    if await host.storage.read_volume(pool, name):
        raise errors.Conflict(f"a volume named {name} already exists")


async def create_recorded(context: OperationContext[Any], host: LibvirtHost, spec: VolumeSpec) -> VolumeFacts:
    """Create the volume that the journal's `copy` names. Clear `copy` if the host refuses: nothing is to be removed. Not if
    its pool cannot be read: it may have become inactive when the file was there already."""
    try:
        return await host.storage.create_volume(spec, new=True)
    except errors.HostUnavailable:
        raise  # it may have been created
    except errors.NovaCronError:
        if await _can_be_read(host, spec.pool, spec.name):
            await context.write_ahead(copy=None)
        raise


async def _can_be_read(host: LibvirtHost, pool: str, name: str) -> bool:
    try:
        await host.storage.read_volume(pool, name)
    except errors.NovaCronError:
        return False
    return True


async def discard(host: LibvirtHost, copy: CopyRecord | None) -> None:
    """Remove the files of an unused copy, and no others. They may be gone already. Raises Conflict when a VM uses the
    copy, or its pool is inactive, or not defined any more although the copy was made."""
    if copy is None:
        return
    undo = not copy.inode
    known = bool(copy.inode) or bool(copy.temporary)
    is_the_copy = not known or await host.storage.examine(copy.path, partial(_is_file, Path(copy.path), copy.inode))
    if copy.temporary:
        await host.storage.delete_volume(copy.pool, copy.temporary, undo=undo)
    if is_the_copy:
        if await host.disks.users(copy.path, fresh=True):
            raise errors.Conflict(f"{copy.name} is in use as a VM's disk: it was not deleted")
        await host.storage.delete_volume(copy.pool, copy.name, undo=undo)


def _is_file(path: Path, inode: int) -> bool:
    """Whether the file at `path` is the one that was created, and not another that took the name first."""
    try:
        return path.stat().st_ino == inode
    except FileNotFoundError:
        return False


async def _wait_until_listed(host: LibvirtHost, pool: str, name: str) -> None:
    """Wait until libvirt lists the new file. It refuses to scan while something else is copied into the pool."""
    for _ in range(_REFRESH_TRIES):
        try:
            await host.storage.refresh_pool(pool)
        except errors.HostUnavailable:
            raise
        except errors.NovaCronError as e:
            _log.info("a pool refresh failed and is repeated", pool=pool, reason=e.detail)
        if await host.storage.read_volume(pool, name):
            return
        await asyncio.sleep(0.5)
    raise errors.Conflict(f"pool {pool} is busy; its new file is not visible yet")
