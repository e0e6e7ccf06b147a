"""A whole, compared copy of a volume in another pool, and taking an unfinished one away.

Where this process reaches the files: under a temporary name, flushed, compared, and only then named. Elsewhere:
through this server, read back and compared; the host's own promise about its disks is all there is then.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import structlog

from novacron_core import errors
from novacron_server.hypervisor.facts import VolumeFacts
from novacron_server.hypervisor.host import LibvirtHost
from novacron_server.hypervisor.specs import VolumeSpec, image_format, with_creation_format
from novacron_server.inventory.operation_files import temporary_name
from novacron_server.operations.context import OperationContext
from novacron_server.operations.failpoints import failpoint
from novacron_server.operations.progress import TransferProgress

_log = structlog.get_logger()
_REFRESH_TRIES = 20


class VolumeCopy:
    """One copy: `source` into the pool at the folder `folder`, as `name`. What it makes is written ahead."""

    def __init__(
        self, run: OperationContext, host: LibvirtHost, source: VolumeFacts, pool: str, folder: str, name: str
    ) -> None:
        self._run, self._host, self._source = run, host, source
        self._pool, self._name = pool, name
        self.path = f"{folder}/{name}"
        self._temporary = temporary_name(name, run.id)
        self._copied_as: tuple[int, int] | None = None

    async def make(self, bandwidth_bytes_s: int = 0) -> None:
        """Make it. Raises Conflict (name taken, no space, cancelled), Internal when it differs, HostUnavailable."""
        kind = self._run.operation.kind
        source = await self._host.storage.read_volume(self._source.pool, self._source.name)
        if source is None:
            raise errors.NotFound(f"the volume {self._source.name} is gone")
        self._source = with_creation_format(
            source, self._source.format
        )  # as it is now: whether this process sees the very file is told by its time stamp
        await check_free(self._host, self._pool, self._name)
        direct = self._host.simulated or not await self._host.storage.sees(self._source)
        if not direct and not await self._copy_file(bandwidth_bytes_s):
            direct = True
        if direct:
            await self._elsewhere(bandwidth_bytes_s)
        await failpoint(f"{kind}:named")

    async def check_unchanged(self) -> None:
        """Raises Conflict when somebody wrote to the volume after it was compared, where this process can tell."""
        if self._copied_as and await self._host.storage.written_at(Path(self._source.path)) != self._copied_as:
            raise errors.Conflict(f"{self._source.name} was written to after it was copied: it stays where it was")

    async def _copy_file(self, bandwidth_bytes_s: int) -> bool:
        """False when the folder over there is not the one that this process sees."""
        kind, storage = self._run.operation.kind, self._host.storage
        await self._run.write_ahead(copy=self._steps(self._temporary))
        await failpoint(f"{kind}:planned")
        made = await storage.create_volume(self._spec(self._temporary))
        if not await storage.sees(made):
            await storage.delete_volume(self._pool, self._temporary)
            return False
        target = Path(made.path)
        await self._run.write_ahead(copy=self._steps(self._temporary, await identity(self._host, made)))
        await failpoint(f"{kind}:made")
        await self._run.report_step("copying, then comparing")
        async with TransferProgress(self._run) as progress:
            source = Path(self._source.path)
            self._copied_as = await storage.copy_file(source, target, progress, bandwidth_bytes_s=bandwidth_bytes_s)
        await failpoint(f"{kind}:compared")
        await storage.rename_file(target, Path(self.path))
        await failpoint(f"{kind}:renamed")
        await _seen(self._host, self._pool, self._name)
        return True

    async def _elsewhere(self, bandwidth_bytes_s: int) -> None:
        kind, storage = self._run.operation.kind, self._host.storage
        if bandwidth_bytes_s:
            raise errors.Unsupported("on a host whose files this server cannot reach, copying cannot be slowed down")
        await self._run.write_ahead(copy=self._steps(""))
        await failpoint(f"{kind}:planned")
        await create_ours(self._run, self._host, self._spec(self._name))
        if self._host.simulated:
            return  # a simulated volume has no bytes
        await failpoint(f"{kind}:made")
        await self._run.report_step("copying through this server, then comparing")
        async with TransferProgress(self._run) as progress:
            await storage.relay(self._source, self._pool, self._name, progress)
        await failpoint(f"{kind}:compared")

    def _spec(self, name: str) -> VolumeSpec:
        size, kind = self._source.size_bytes, image_format(self._source)
        return VolumeSpec(pool=self._pool, name=name, size_bytes=size, format=kind)

    def _steps(self, temporary: str, inode: int = 0) -> dict[str, Any]:
        return {
            "pool": self._pool, "name": self._name, "path": self.path, "temporary": temporary, "inode": inode,
        }  # fmt: skip


async def identity(host: LibvirtHost, made: VolumeFacts) -> int:
    """What tells the file from any other of its name, 0 where this process does not see it."""
    if not await host.storage.sees(made):
        return 0
    return (await asyncio.to_thread(Path(made.path).stat)).st_ino


async def check_free(host: LibvirtHost, pool: str, name: str) -> None:
    """Raises Conflict when there is a volume, or a file that libvirt had not seen, of that name."""
    try:
        await host.storage.refresh_pool(pool)
    except errors.Conflict as e:
        _log.info("the pool is busy: its files are taken as known", pool=pool, reason=e.detail)
    if await host.storage.read_volume(pool, name):
        raise errors.Conflict(f"there is a volume named {name} already")


async def create_ours(run: OperationContext, host: LibvirtHost, spec: VolumeSpec) -> VolumeFacts:
    """Create a volume that is written ahead as `copy`. What the host refuses to make is not ours to take away."""
    try:
        return await host.storage.create_volume(spec, new=True)
    except errors.HostUnavailable:
        raise  # it may have been made
    except errors.NovaCronError:
        await run.write_ahead(copy=None)
        raise


async def discard(host: LibvirtHost, steps: dict[str, Any]) -> None:
    """Take away what a copy that is not used had made, and nothing else; fine when there is nothing."""
    copy = steps.get("copy")
    if not copy:
        return
    pool, name, temporary = copy["pool"], copy["name"], copy["temporary"]
    known = bool(copy["inode"]) or bool(temporary)
    ours = not known or await asyncio.to_thread(_is_file, Path(copy["path"]), copy["inode"])
    if temporary:
        await host.storage.delete_volume(pool, temporary)
    if ours:
        if await host.disks.users(copy["path"], fresh=True):
            raise errors.Conflict(f"{name} is a VM's disk: it stays")
        await host.storage.delete_volume(pool, name)


def _is_file(path: Path, inode: int) -> bool:
    """Whether the file of that name is the one that we made: somebody else may have taken the name first."""
    try:
        return path.stat().st_ino == inode
    except FileNotFoundError:
        return False


async def _seen(host: LibvirtHost, pool: str, name: str) -> None:
    """Until libvirt knows the new file. While something else is copied into the pool it does not look."""
    for _ in range(_REFRESH_TRIES):
        try:
            await host.storage.refresh_pool(pool)
        except errors.HostUnavailable:
            raise
        except errors.NovaCronError as e:
            _log.info("the pool is looked at again later", pool=pool, reason=e.detail)
        if await host.storage.read_volume(pool, name):
            return
        await asyncio.sleep(0.5)
    raise errors.Conflict(f"the pool {pool} is busy: its new file is not seen")
