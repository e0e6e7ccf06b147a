"""Detach a volume from its VM."""

from __future__ import annotations

from novacron_core.values.operation_kinds import OperationKind
from novacron_server.operations.context import OperationContext
from novacron_server.operations.failpoints import failpoint
from novacron_server.volumes.procedures.disk_change import DiskChange, DiskSteps


class DetachVolume(DiskChange):
    kind = OperationKind.VOLUME_DETACH
    failpoints = ("volume.detach:began", "volume.detach:detached")

    async def run(self, context: OperationContext[DiskSteps]) -> None:
        """Raises Conflict when the guest does not release the disk."""
        host, vm_id = self._inventory.host(context.host_id), context.steps.vm or ""
        await context.report_step("waiting for the guest to release the disk")
        await failpoint("volume.detach:began")
        facts = await self._facts(host, context.steps)
        await host.disks.detach(vm_id, facts.path)
        await failpoint("volume.detach:detached")
        await self._set_vm(str(context.request["volume"]), None)
        await self._refresh(host, vm_id)
