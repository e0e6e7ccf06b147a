"""The disks of a host's VMs, as coroutines with deadlines and errors for operators; reached as `host.disks`."""

from __future__ import annotations

from novacron_server.hypervisor import disks
from novacron_server.hypervisor.calls import Calls
from novacron_server.hypervisor.disks import Job, Users
from novacron_server.hypervisor.specs import Format


class HostDisks(Calls):
    """Raises what a Host raises."""

    async def users(self, path: str) -> list[Users]:
        """Every VM one of whose definitions has a disk at this path. Asks libvirt for each VM: not for a list."""
        return await self._change("look who uses the volume", disks.users, path)

    async def switch(self, uuid: str, old: str, new: str) -> None:
        """Has the definition's disk at the path `old` be at `new`; fine when it is there already."""
        await self._change("change the VM's disk", disks.switch, uuid, old, new)

    async def attach(self, uuid: str, pool: str, name: str, disk_format: Format, *, read_only: bool) -> str:
        """Gives a volume to a VM, at once if it runs and for good. Returns its place (`vdb`)."""
        return await self._change("attach the volume", disks.attach, uuid, pool, name, disk_format, read_only=read_only)

    async def detach(self, uuid: str, path: str) -> None:
        """Takes a disk from a VM. Conflict when the guest does not let go of it."""
        await self._change("detach the volume", disks.detach, uuid, path)

    async def grow(self, uuid: str, path: str, size_bytes: int) -> None:
        """Grows the disk of a running VM, and its volume with it."""
        await self._change("grow the disk", disks.grow, uuid, path, size_bytes)

    async def start_copy(self, uuid: str, target: str, path: str, disk_format: str, bandwidth_bytes_s: int = 0) -> None:
        """Has QEMU copy a disk in use to the volume at `path`, and keep both the same from then on."""
        await self._change("copy the disk", disks.start_copy, uuid, target, path, disk_format, bandwidth_bytes_s)

    async def job(self, uuid: str, target: str) -> Job | None:
        """How far the copy of a disk is, None when none runs."""
        return await self._read(lambda connection: disks.job(connection, uuid, target))

    async def pivot(self, uuid: str, target: str) -> None:
        """Has the guest use the copy from now on. Conflict while the two differ."""
        await self._change("use the copy", disks.pivot, uuid, target)

    async def abort_copy(self, uuid: str, target: str) -> None:
        """Ends the copy of a disk; the guest stays where it is. Fine when there is none."""
        await self._change("end the copy", disks.abort_copy, uuid, target)
