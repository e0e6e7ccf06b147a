"""Giving volumes to VMs, taking them away, and growing them: the work behind the verbs, and its mending."""

from __future__ import annotations

from novacron_core.api.vms import State
from novacron_server.database.transactions import Connection, Database
from novacron_server.hypervisor.facts import VolumeFacts
from novacron_server.hypervisor.host import LibvirtHost
from novacron_server.hypervisor.specs import image_format
from novacron_server.inventory.inventory import Inventory
from novacron_server.operations.context import OperationContext
from novacron_server.operations.failpoints import failpoint
from novacron_server.operations.repository import Stored
from novacron_server.operations.retries import retry_while_database_down
from novacron_server.outbox.group_commit import GroupCommit
from novacron_server.outbox.records import EventDraft
from novacron_server.volumes import repository
from novacron_server.volumes.row_events import volume_row_event
from novacron_server.volumes.users import only_user

_ON = frozenset({State.RUNNING, State.PAUSED})


class VolumeAttachment:
    """What was cut off is shown as it is: each verb ends in one change of libvirt's, which happened or did not."""

    def __init__(self, database: Database, group_commit: GroupCommit, inventory: Inventory) -> None:
        self._database = database
        self._group_commit = group_commit
        self._inventory = inventory

    async def attach(
        self, run: OperationContext, host: LibvirtHost, vm_id: str, volume_id: str, facts: VolumeFacts, read_only: bool
    ) -> None:
        """Give it to the VM, at once if that runs, and for good. Raises Conflict when another VM has it."""
        await failpoint("volume.attach:began")
        await only_user(host, facts.name, facts.path, vm_id)
        target = await host.disks.attach(vm_id, facts.pool, facts.name, image_format(facts), read_only=read_only)
        await run.report_step(f"attached as {target}")
        await failpoint("volume.attach:attached")
        await self._settle_row(volume_id, vm_id)
        await self._refresh(host, vm_id)

    async def detach(self, run: OperationContext, host: LibvirtHost, vm_id: str, volume_id: str, path: str) -> None:
        """Take it from the VM. Raises Conflict when the guest does not let go of it."""
        await run.report_step("asked the guest to let go of it")
        await failpoint("volume.detach:began")
        await host.disks.detach(vm_id, path)
        await failpoint("volume.detach:detached")
        await self._settle_row(volume_id, None)
        await self._refresh(host, vm_id)

    async def resize(
        self, run: OperationContext, host: LibvirtHost, vm_id: str | None, facts: VolumeFacts, size_bytes: int
    ) -> None:
        """Grow it: through its VM where that runs, else as a volume."""
        await failpoint("volume.resize:began")
        await only_user(host, facts.name, facts.path, vm_id)
        vm = await host.read_domain(vm_id) if vm_id else None
        if vm is not None and vm.state in _ON:
            await run.report_step("growing the disk of the running VM")
            await host.disks.grow(vm.uuid, facts.path, size_bytes)
        else:
            await host.storage.resize_volume(facts.pool, facts.name, size_bytes, image_format(facts))
        await failpoint("volume.resize:grown")
        await self._refresh(host, vm_id)

    async def settle(self, stored: Stored) -> str:
        """After a failure or a crash: the row follows what libvirt shows."""
        host_id = stored.host_id or ""
        host = self._inventory.host(host_id)
        volume_id = str(stored.request.get("volume", ""))
        row = await self._database.run(lambda c: repository.get(c, volume_id), read_only=True)
        facts = await host.storage.read_volume(row.pool, row.name) if row else None
        if facts is None:
            return "the volume is not there"
        users = [user for user in await host.disks.users(facts.path) if not user.otherwise]
        await self._settle_row(volume_id, users[0].uuid if users else None)
        await self._refresh(host, users[0].uuid if users else None)
        return f"the volume is a disk of {users[0].name}" if users else "the volume is attached to no VM"

    async def _settle_row(self, volume_id: str, vm_id: str | None) -> None:
        async def settle(connection: Connection) -> tuple[None, list[EventDraft]]:
            row = await repository.change(connection, volume_id, vm_id=vm_id)
            return None, [volume_row_event(row, "volume.updated")] if row else []

        await retry_while_database_down("telling whose volume it is", lambda: self._group_commit.write(settle))

    async def _refresh(self, host: LibvirtHost, vm_id: str | None) -> None:
        if vm_id:
            await self._inventory.refresh_vm(host.host_id, vm_id)
        await self._inventory.refresh_volumes(host.host_id)
