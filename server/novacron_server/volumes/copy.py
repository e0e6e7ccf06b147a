"""A complete, compared copy of a volume in another pool, and removing an unfinished one.

Where this process reaches the files: under a temporary name, flushed, compared, and only then renamed. Elsewhere:
through this server, read back and compared; then the host's own promise about its disks is all there is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import structlog

from novacron_core import errors
from novacron_server.hypervisor.facts import VolumeFacts
from novacron_server.hypervisor.host import LibvirtHost
from novacron_server.hypervisor.specs import VolumeSpec, image_format, with_creation_format
from novacron_server.inventory.operation_files import temporary_name
from novacron_server.operations.context import OperationContext
from novacron_server.operations.failpoints import failpoint
from novacron_server.operations.journal import Steps
from novacron_server.operations.progress import TransferProgress

_log = structlog.get_logger()
_REFRESH_TRIES = 20


class CopyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A copy as it is written ahead. `path` is the host's; `temporary` its name until it is complete, empty where there
    is none; `inode` tells the file from any other of its name, 0 where this process does not see it."""

    pool: str
    name: str
    path: str = ""
    temporary: str = ""
    inode: int = 0


class CopySteps(Steps, frozen=True):
    """The journal of an operation that creates a volume. `left`: the copy is of no use and could not be removed yet."""

    copy: CopyRecord | None = None
    left: bool = False

    def files(self) -> Iterable[tuple[str, str]]:
        names = (self.copy.name, self.copy.temporary) if self.copy else ()
        return [(self.copy.pool, name) for name in names if name] if self.copy else []


class VolumeCopy:
    """One copy: `source` into a pool at `folder`, as `name`. What it makes is written ahead as `copy`."""

    def __init__(
        self, context: OperationContext[Any], host: LibvirtHost, source: VolumeFacts, pool: str, folder: str, name: str
    ) -> None:
        self._context, self._host, self._source = context, host, source
        self._pool, self._name = pool, name
        self.path = f"{folder}/{name}"
        self._temporary = temporary_name(name, context.id)
        self._copied_as: tuple[int, int] | None = None

    async def make(self, bandwidth_bytes_s: int = 0) -> None:
        """Make it. Raises Conflict (name taken, no space, cancelled), Internal when it differs, HostUnavailable."""
        kind = self._context.operation.kind
        source = await self._host.storage.read_volume(self._source.pool, self._source.name)
        if source is None:
            raise errors.NotFound(f"the volume {self._source.name} no longer exists")
        # As it is now: its time stamp tells whether this process sees the same file.
        self._source = with_creation_format(source, self._source.format)
        await check_free(self._host, self._pool, self._name)
        direct = self._host.simulated or not await self._host.storage.sees(self._source)
        if not direct and not await self._copy_file(bandwidth_bytes_s):
            direct = True
        if direct:
            await self._copy_through_server(bandwidth_bytes_s)
        await failpoint(f"{kind}:named")

    async def check_unchanged(self) -> None:
        """Raises Conflict when the volume was written to after it was compared, where this process can tell."""
        if self._copied_as and await self._host.storage.written_at(Path(self._source.path)) != self._copied_as:
            raise errors.Conflict(f"{self._source.name} was written to after it was copied: it was not moved")

    async def _copy_file(self, bandwidth_bytes_s: int) -> bool:
        """False when the folder on the host is not the one that this process sees."""
        kind, storage = self._context.operation.kind, self._host.storage
        await self._context.write_ahead(copy=self._record(self._temporary))
        await failpoint(f"{kind}:planned")
        made = await storage.create_volume(self._spec(self._temporary))
        if not await storage.sees(made):
            await storage.delete_volume(self._pool, self._temporary)
            return False
        target = Path(made.path)
        await self._context.write_ahead(copy=self._record(self._temporary, await inode_of(self._host, made)))
        await failpoint(f"{kind}:made")
        await self._context.report_step("copying, then comparing")
        async with TransferProgress(self._context) as progress:
            source = Path(self._source.path)
            self._copied_as = await storage.copy_file(source, target, progress, bandwidth_bytes_s=bandwidth_bytes_s)
        await failpoint(f"{kind}:compared")
        await storage.rename_file(target, Path(self.path))
        await failpoint(f"{kind}:renamed")
        await _until_listed(self._host, self._pool, self._name)
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
        await self._context.report_step("copying through this server, then comparing")
        async with TransferProgress(self._context) as progress:
            await storage.relay(self._source, self._pool, self._name, progress)
        await failpoint(f"{kind}:compared")

    def _spec(self, name: str) -> VolumeSpec:
        size, kind = self._source.size_bytes, image_format(self._source)
        return VolumeSpec(pool=self._pool, name=name, size_bytes=size, format=kind)

    def _record(self, temporary: str, inode: int = 0) -> CopyRecord:
        return CopyRecord(pool=self._pool, name=self._name, path=self.path, temporary=temporary, inode=inode)


async def inode_of(host: LibvirtHost, made: VolumeFacts) -> int:
    """What tells the file from any other of its name, 0 where this process does not see it."""
    if not await host.storage.sees(made):
        return 0
    return (await asyncio.to_thread(Path(made.path).stat)).st_ino


async def check_free(host: LibvirtHost, pool: str, name: str) -> None:
    """Raises Conflict when there is a volume, or a file that libvirt has not listed, of that name."""
    try:
        await host.storage.refresh_pool(pool)
    except errors.Conflict as e:
        _log.info("the pool is busy: its files are used as last listed", pool=pool, reason=e.detail)
    if await host.storage.read_volume(pool, name):
        raise errors.Conflict(f"a volume named {name} already exists")


async def create_recorded(context: OperationContext[Any], host: LibvirtHost, spec: VolumeSpec) -> VolumeFacts:
    """Create a volume that is written ahead as `copy`. What the host refuses to create is not to be removed later."""
    try:
        return await host.storage.create_volume(spec, new=True)
    except errors.HostUnavailable:
        raise  # it may have been created
    except errors.NovaCronError:
        await context.write_ahead(copy=None)
        raise


async def discard(host: LibvirtHost, copy: CopyRecord | None) -> None:
    """Remove what a copy that is not used had made, and nothing else; fine when there is nothing. Raises Conflict when a
    VM uses it, or its pool is off."""
    if copy is None:
        return
    known = bool(copy.inode) or bool(copy.temporary)
    is_the_copy = not known or await asyncio.to_thread(_is_file, Path(copy.path), copy.inode)
    if copy.temporary:
        await host.storage.delete_volume(copy.pool, copy.temporary)
    if is_the_copy:
        if await host.disks.users(copy.path, fresh=True):
            raise errors.Conflict(f"{copy.name} is in use as a VM's disk: it was not deleted")
        await host.storage.delete_volume(copy.pool, copy.name)


def _is_file(path: Path, inode: int) -> bool:
    """Whether the file of that name is the one that was created: another one may have taken the name first."""
    try:
        return path.stat().st_ino == inode
    except FileNotFoundError:
        return False


async def _until_listed(host: LibvirtHost, pool: str, name: str) -> None:
    """Wait until libvirt lists the new file. It does not look while something else is copied into the pool."""
    for _ in range(_REFRESH_TRIES):
        try:
            await host.storage.refresh_pool(pool)
        except errors.HostUnavailable:
            raise
        except errors.NovaCronError as e:
            _log.info("the pool is refreshed again later", pool=pool, reason=e.detail)
        if await host.storage.read_volume(pool, name):
            return
        await asyncio.sleep(0.5)
    raise errors.Conflict(f"pool {pool} is busy; its new file is not visible yet")
