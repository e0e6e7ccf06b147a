"""Grow a volume, through QEMU if its VM runs."""

from __future__ import annotations

import msgspec

from novacron_core.api.vms import State
from novacron_core.values.operation_kinds import OperationKind
from novacron_server.hypervisor.specs import image_format
from novacron_server.operations.context import OperationContext
from novacron_server.operations.failpoints import failpoint
from novacron_server.volumes.procedures.disk_change import DiskChange, DiskSteps
from novacron_server.volumes.users import VolumeUsers

_RUNNING_STATES = frozenset({State.RUNNING, State.PAUSED})


class ResizeVolume(DiskChange):
    kind = OperationKind.VOLUME_RESIZE
    failpoints = ("volume.resize:began", "volume.resize:grown")

    async def run(self, context: OperationContext[DiskSteps]) -> None:
        """Raises Conflict when another VM uses the volume, or it already has that size."""
        host, vm_id = self._inventory.host(context.host_id), context.steps.vm
        size_bytes = msgspec.convert(context.request["size_bytes"], int)
        await failpoint("volume.resize:began")
        facts = await self._facts(host, context.steps)
        await VolumeUsers.for_operation(self._inventory, host, context.operation).only(facts.name, facts.path, vm_id)
        vm = await host.read_domain(vm_id) if vm_id else None
        if vm is not None and vm.state in _RUNNING_STATES:
            await context.report_step("growing the disk of the running VM")
            await host.disks.grow(vm.uuid, facts.path, size_bytes)
        else:
            await host.storage.resize_volume(facts.pool, facts.name, size_bytes, image_format(facts))
        await failpoint("volume.resize:grown")
        await self._refresh(host, vm_id)
