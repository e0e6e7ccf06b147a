"""Create an empty volume, or a verified copy of another one."""

from __future__ import annotations

from contextlib import suppress
from typing import Generic, TypeVar

import msgspec

from novacron_core import errors
from novacron_core.api.volumes import VolumeCreate
from novacron_core.values.operation_kinds import OperationKind
from novacron_core.values.tiers import LOGICAL
from novacron_server.hypervisor.specs import VolumeSpec, with_creation_format
from novacron_server.inventory.inventory import Inventory
from novacron_server.inventory.operation_files import temporary_name
from novacron_server.operations.context import OperationContext
from novacron_server.operations.failpoints import failpoint
from novacron_server.operations.journal import Journal
from novacron_server.operations.procedures import Procedure
from novacron_server.outbox.group_commit import GroupCommit
from novacron_server.volumes.copy import CopyRecord, CopySteps, VolumeCopy, check_file_name_free, create_recorded
from novacron_server.volumes.leftover_copies import LeftoverCopies
from novacron_server.volumes.rows import remove_volume


class CreateVolumeSteps(CopySteps, frozen=True):
    """`made` is the id of the new volume's row, `pool` and `path` its location."""

    made: str = ""
    pool: str = ""
    path: str = ""

    @property
    def name(self) -> str:
        """The name of its file."""
        return self.path.rpartition("/")[2]


class CloneVolumeSteps(CreateVolumeSteps, frozen=True):
    """The source's pool and name, and the format that it was created with."""

    source_pool: str = ""
    source_name: str = ""
    source_format: str = ""


C = TypeVar("C", bound=CreateVolumeSteps)


class _Creation(Procedure[C], Generic[C]):
    """The common part of creating and cloning. Every step can be repeated."""

    def __init__(self, group_commit: GroupCommit, inventory: Inventory, leftovers: LeftoverCopies) -> None:
        self._leftovers = leftovers
        self._group_commit = group_commit
        self._inventory = inventory

    async def undo(self, entry: Journal[C]) -> str:
        """Remove the unfinished volume and its row, unless it was handed over to another tenant since this failed first."""
        # A journal older than version 1 does not name the row: it is the target's or, for a clone, the last lock's.
        locked = [entry.operation.target, *entry.operation.locks]
        is_clone = entry.operation.kind == OperationKind.VOLUME_CLONE
        made = entry.steps.made or (locked[-1] if is_clone else locked[0]).id
        row = next((row for row in self._inventory.state.storage.volume_rows.values() if row.id == made), None)
        if row is not None and entry.operation.tenant not in (None, row.tenant):
            return "it belongs to another tenant by now"
        postponed = await self._leftovers.discard(entry)
        await remove_volume(self._group_commit, made)
        with suppress(errors.HostUnavailable, errors.NotFound):
            await self._inventory.refresh_volumes(entry.host_id)
        return postponed or "everything that it had created was removed"

    async def _publish(self, context: OperationContext[C]) -> None:
        await self._inventory.barrier(context.accepted_seq)
        await self._inventory.refresh_volumes(context.host_id)


class CreateVolume(_Creation[CreateVolumeSteps]):
    kind = OperationKind.VOLUME_CREATE
    steps = CreateVolumeSteps
    failpoints = ("volume.create:planned", "volume.create:made")

    async def run(self, context: OperationContext[CreateVolumeSteps]) -> None:
        """Raises Conflict when a file of that name exists."""
        body, steps = msgspec.convert(context.request, VolumeCreate), context.steps
        host = self._inventory.host(context.host_id)
        await check_file_name_free(host, steps.pool, steps.name)
        await context.write_ahead(copy=CopyRecord(pool=steps.pool, name=steps.name, path=steps.path))
        await failpoint("volume.create:planned")
        pool = self._inventory.state.storage.pools_on(context.host_id).get(steps.pool)
        block = pool is not None and pool.type == LOGICAL
        spec = VolumeSpec(pool=steps.pool, name=steps.name, size_bytes=body.size_bytes, format=body.format, block=block)
        await create_recorded(context, host, spec)
        await failpoint("volume.create:made")
        await self._publish(context)


class CloneVolume(_Creation[CloneVolumeSteps]):
    """Clones a volume that no running VM uses."""

    kind = OperationKind.VOLUME_CLONE
    steps = CloneVolumeSteps
    may_cancel = True
    failpoints = (
        "volume.clone:planned",
        "volume.clone:made",
        "volume.clone:compared",
        "volume.clone:renamed",
        "volume.clone:named",
    )

    async def run(self, context: OperationContext[CloneVolumeSteps]) -> None:
        """Raises what `VolumeCopy.make` raises."""
        steps, name = context.steps, context.steps.name
        host = self._inventory.host(context.host_id)
        source = await host.storage.read_volume(steps.source_pool, steps.source_name)
        if source is None:
            raise errors.NotFound(f"the volume {steps.source_name} no longer exists")
        files = [(steps.pool, temporary_name(name, context.id))]
        self._inventory.state.storage.operation_files.set(context.id, host.host_id, files)
        folder = steps.path.rpartition("/")[0]
        source = with_creation_format(source, steps.source_format or None)
        await VolumeCopy(context, host, source, steps.pool, folder, name).make()
        await self._publish(context)
