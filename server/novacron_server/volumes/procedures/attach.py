"""Attach a volume to a VM: permanently, and immediately if the VM runs."""

from __future__ import annotations

from novacron_core.values.operation_kinds import OperationKind
from novacron_server.hypervisor.specs import image_format
from novacron_server.operations.context import OperationContext
from novacron_server.operations.failpoints import failpoint
from novacron_server.volumes.procedures.disk_change import DiskChange, DiskSteps
from novacron_server.volumes.users import VolumeUsers


class AttachVolume(DiskChange):
    kind = OperationKind.VOLUME_ATTACH
    failpoints = ("volume.attach:began", "volume.attach:attached")

    async def run(self, context: OperationContext[DiskSteps]) -> None:
        """Raises Conflict when another VM uses the volume."""
        host, vm_id = self._inventory.host(context.host_id), context.steps.vm or ""
        await failpoint("volume.attach:began")
        facts = await self._facts(host, context.steps)
        await VolumeUsers.for_operation(self._inventory, host, context.operation).only(facts.name, facts.path, vm_id)
        read_only = bool(context.request.get("read_only"))
        target = await host.disks.attach(vm_id, facts.pool, facts.name, image_format(facts), read_only=read_only)
        await context.report_step(f"attached as {target}")
        await failpoint("volume.attach:attached")
        await self._set_vm(str(context.request["volume"]), vm_id)
        await self._refresh(host, vm_id)
