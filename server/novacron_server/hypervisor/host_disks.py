"""The disks of a host's VMs, as coroutines with deadlines and errors for operators; reached as `host.disks`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeVar

from novacron_core.errors import Conflict
from novacron_server.hypervisor.connection.calls import Calls
from novacron_server.hypervisor.connection.uris import is_local, is_simulated
from novacron_server.hypervisor.specs import Format
from novacron_server.hypervisor.storage.backing_files import Files
from novacron_server.hypervisor.vms import disks
from novacron_server.hypervisor.vms.disks import BlockJob, DiskUser
from novacron_server.hypervisor.vms.domains import DomainReader

T = TypeVar("T")
_UNPLUG_S = 20.0
_LOOK_EVERY_S = 0.2


class HostDisks(Calls[DomainReader]):
    """Raises what a Host raises."""

    async def users(self, path: str, *, fresh: bool = False) -> list[DiskUser]:
        """Every VM that has the file as a disk, in one of its definitions, or leans on it.

        VMs that appeared or changed a moment ago are read anew; `fresh=True`, before anything is destroyed, reads
        the definition of every VM, which is slower.
        """
        reader, local = (
            self._supervisor.require().reader,
            is_local(self._supervisor.uri) and not is_simulated(self._supervisor.uri),
        )
        return await self._read_storage(lambda c: disks.users(c, reader, path, Files(local=local), fresh=fresh))

    async def switch(self, uuid: str, old: str, new: str) -> None:
        """Has the definition's disk at the path `old` be at `new`; fine when it is there already."""
        await self._alter("change the VM's disk", disks.switch, uuid, old, new)

    async def attach(self, uuid: str, pool: str, name: str, disk_format: Format, *, read_only: bool) -> str:
        """Gives a volume to a VM, at once if it runs and for good. Returns its place (`vdb`)."""
        return await self._alter("attach the volume", disks.attach, uuid, pool, name, disk_format, read_only=read_only)

    async def detach(self, uuid: str, path: str) -> None:
        """Takes a disk from a VM, at once if it runs and for good; fine when it has none.

        Raises Conflict when the guest does not let go of it. It may do so later: then the definition still has it.
        """
        what = "detach the volume"
        await self._alter(what, disks.unplug, uuid, path)
        until = time.monotonic() + _UNPLUG_S
        while await self._read(lambda connection: disks.is_plugged(connection, uuid, path)):
            if time.monotonic() > until:
                raise Conflict("the guest does not let go of the disk: unmount it there, or shut the VM down")
            await asyncio.sleep(_LOOK_EVERY_S)  # not in a thread: a guest that is slow holds nobody else up
        await self._alter(what, disks.undefine_disk, uuid, path)

    async def grow(self, uuid: str, path: str, size_bytes: int) -> None:
        """Grows the disk of a running VM, and its volume with it."""
        await self._alter("grow the disk", disks.grow, uuid, path, size_bytes)

    async def start_copy(self, uuid: str, target: str, path: str, disk_format: str, bandwidth_bytes_s: int = 0) -> None:
        """Has QEMU copy a disk in use to the volume at `path`, and keep both the same from then on."""
        await self._alter("copy the disk", disks.start_copy, uuid, target, path, disk_format, bandwidth_bytes_s)

    async def job(self, uuid: str, target: str) -> BlockJob | None:
        """How far the copy of a disk is, None when none runs."""
        return await self._read(lambda connection: disks.block_job(connection, uuid, target))

    async def pivot(self, uuid: str, target: str) -> None:
        """Has the guest use the copy from now on. Conflict while the two differ."""
        await self._alter("use the copy", disks.pivot, uuid, target)

    async def abort_copy(self, uuid: str, target: str) -> None:
        """Ends the copy of a disk; the guest stays where it is. Fine when there is none."""
        await self._alter("end the copy", disks.abort_copy, uuid, target)

    async def _alter(self, what: str, call: Callable[..., T], uuid: str, *arguments: Any, **named: Any) -> T:
        """A change of a VM, whose documents are read anew from then on: libvirt's event may come later."""
        reader = self._supervisor.require().reader
        try:
            return await self._change(what, call, uuid, *arguments, **named)
        finally:
            reader.forget(uuid)
