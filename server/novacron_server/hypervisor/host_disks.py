"""The disks of a host's VMs, as coroutines with deadlines and operator-facing errors; available as `host.disks`."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

from novacron_core.errors import Conflict
from novacron_server.file_calls import CHANGE_LIMIT_S, FILE_CALLS
from novacron_server.hypervisor.connection.calls import Calls
from novacron_server.hypervisor.connection.uris import is_local, is_simulated
from novacron_server.hypervisor.specs import Format
from novacron_server.hypervisor.storage.backing_files import Files
from novacron_server.hypervisor.vms import disks
from novacron_server.hypervisor.vms.disks import BlockJob, DiskUser
from novacron_server.hypervisor.vms.domains import DomainReader

T = TypeVar("T")
_UNPLUG_S = 20.0
_POLL_S = 0.2


class HostDisks(Calls[DomainReader]):
    """Raises the errors that LibvirtHost raises."""

    async def users(self, path: str, *, fresh: bool = False) -> list[DiskUser]:
        """Every VM that uses the file: as a disk in its live or persistent definition, as a backing file, or as kernel.

        New VMs and those with recent events are read again. `fresh=True`, for use before anything is destroyed, reads
        the definition of every VM, which is slower. Raises Conflict if the file's directory does not respond.
        """
        reader, local = (
            self._supervisor.require().reader,
            is_local(self._supervisor.uri) and not is_simulated(self._supervisor.uri),
        )
        if local and path.startswith("/"):
            await FILE_CALLS.call(path, lambda: os.path.lexists(path), limit_s=CHANGE_LIMIT_S)
        return await self._read_storage(lambda c: disks.users(c, reader, path, Files(local=local), fresh=fresh))

    async def switch(self, uuid: str, old: str, new: str) -> None:
        """Change the path of a disk in the definition from `old` to `new`; succeeds if it has been changed already."""
        await self._change_vm("change the VM's disk", disks.switch, uuid, old, new)

    async def attach(self, uuid: str, pool: str, name: str, disk_format: Format, *, read_only: bool) -> str:
        """Attach a volume to a VM, live if it runs, and persistently. Returns its target (`vdb`)."""
        return await self._change_vm(
            "attach the volume", disks.attach, uuid, pool, name, disk_format, read_only=read_only
        )

    async def detach(self, uuid: str, path: str) -> None:
        """Detach a disk from a VM, live if it runs, and persistently; succeeds if it is not attached.

        Raises Conflict if the guest does not release it. It may still do so later; the definition keeps the disk.
        """
        what = "detach the volume"
        await self._change_vm(what, disks.unplug, uuid, path)
        deadline = time.monotonic() + _UNPLUG_S
        while await self._read(lambda connection: disks.is_plugged(connection, uuid, path)):
            if time.monotonic() > deadline:
                raise Conflict("the guest has not released the disk: unmount it in the guest, or shut the VM down")
            await asyncio.sleep(_POLL_S)  # not in a thread, so that a slow guest blocks no other call
        await self._change_vm(what, disks.undefine_disk, uuid, path)

    async def grow(self, uuid: str, path: str, size_bytes: int) -> None:
        """Grow the disk of a running VM, including its volume."""
        await self._change_vm("grow the disk", disks.grow, uuid, path, size_bytes)

    async def start_copy(self, uuid: str, target: str, path: str, disk_format: str, bandwidth_bytes_s: int = 0) -> None:
        """Start QEMU copying a disk in use to the volume at `path` and mirroring writes to both. 0: no rate limit."""
        await self._change_vm("copy the disk", disks.start_copy, uuid, target, path, disk_format, bandwidth_bytes_s)

    async def job(self, uuid: str, target: str) -> BlockJob | None:
        """The progress of a disk's copy, None if none is running."""
        return await self._read(lambda connection: disks.block_job(connection, uuid, target))

    async def pivot(self, uuid: str, target: str) -> None:
        """Switch the guest to the copy. Raises Conflict while the two differ."""
        await self._change_vm("switch to the copy", disks.pivot, uuid, target)

    async def abort_copy(self, uuid: str, target: str) -> None:
        """Abort the copy of a disk; the guest keeps its current disk. Succeeds if no copy is running."""
        await self._change_vm("abort the copy", disks.abort_copy, uuid, target)

    async def _change_vm(self, what: str, call: Callable[..., T], uuid: str, *arguments: Any, **named: Any) -> T:
        """Change a VM and invalidate its cached documents: libvirt's event may arrive later."""
        reader = self._supervisor.require().reader
        try:
            return await self._change(what, call, uuid, *arguments, **named)
        finally:
            reader.invalidate(uuid)
