"""Move a volume to another tier. At every moment exactly one complete copy is current (G9).

The VM's definition determines which copy is current; for a volume without a VM, its row does. After a failure or a
crash the other copy is removed, and the row is corrected.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
import structlog

from novacron_core import errors
from novacron_core.api.operations import Operation
from novacron_core.api.vms import State
from novacron_core.values.operation_kinds import OperationKind
from novacron_core.values.sizes import size_text
from novacron_server.database.transactions import Database
from novacron_server.hypervisor.facts import VolumeFacts
from novacron_server.hypervisor.host import LibvirtHost
from novacron_server.hypervisor.specs import Format, VolumeSpec, mirror_cluster_bytes, with_creation_format
from novacron_server.hypervisor.vms.disks import BlockJob, DiskUser
from novacron_server.inventory.inventory import Inventory
from novacron_server.inventory.operation_files import temporary_name
from novacron_server.inventory.rows import VolumeRow
from novacron_server.operations.context import CompletedAnyway, OperationContext
from novacron_server.operations.failpoints import failpoint
from novacron_server.operations.journal import Journal
from novacron_server.operations.procedures import Procedure
from novacron_server.outbox.group_commit import GroupCommit
from novacron_server.volumes import repository
from novacron_server.volumes.copy import (
    CopyRecord,
    CopySteps,
    VolumeCopy,
    check_file_name_free,
    create_recorded,
    inode_of,
)
from novacron_server.volumes.leftover_copies import LeftoverCopies
from novacron_server.volumes.rows import change_volume
from novacron_server.volumes.users import VolumeUsers

_log = structlog.get_logger()
_POLL_S = 0.25
_FULL_BYTES = 4 << 20
"""A pool with less free space than this is called full."""


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """What moves where. Paths are on the host. `format` is the one that the volume was created with."""

    volume_id: str
    name: str
    from_pool: str
    from_path: str
    to_pool: str
    to_path: str
    tier: str
    from_tier: str | None = None
    vm_id: str | None = None
    bandwidth_bytes_s: int = 0
    from_inode: int = 0
    """Identifies the old copy among postponed files of its name; 0 if this process does not see it."""
    format: str = ""


class MirroredDisk(msgspec.Struct, frozen=True, kw_only=True):
    """A disk in use that QEMU copies: the VM's UUID and the disk's target (`vda`)."""

    vm: str
    target: str


class MoveSteps(CopySteps, frozen=True):
    """`move` is None only in a journal older than version 1 whose server crashed at once."""

    move: Move | None = None
    disk: MirroredDisk | None = None

    def files(self) -> Iterable[tuple[str, str]]:
        copies = super().files()
        if self.move is None:
            return copies
        return [*copies, (self.move.from_pool, self.move.name), (self.move.to_pool, self.move.name)]


class MoveVolume(Procedure[MoveSteps]):
    kind = OperationKind.VOLUME_MOVE
    steps = MoveSteps
    may_cancel = True
    failpoints = (
        "volume.move:planned",
        "volume.move:made",
        "volume.move:compared",
        "volume.move:renamed",
        "volume.move:named",
        "volume.move:mirroring",
        "volume.move:mirrored",
        "volume.move:pivoted",
        "volume.move:switched",
        "volume.move:told",
        "volume.move:dropped",
    )

    def __init__(
        self, database: Database, group_commit: GroupCommit, inventory: Inventory, leftovers: LeftoverCopies
    ) -> None:
        self._leftovers = leftovers
        self._database = database
        self._group_commit = group_commit
        self._inventory = inventory

    async def run(self, context: OperationContext[MoveSteps]) -> None:
        """Raises Conflict with the reason why it is refused, and the errors of the host."""
        move, host = context.steps.move, self._inventory.host(context.host_id)
        if move is None:
            raise errors.Internal("the move has no plan")
        facts = await host.storage.read_volume(move.from_pool, move.name)
        if facts is None:
            raise errors.NotFound(f"the volume {move.name} no longer exists")
        facts = with_creation_format(facts, move.format or None)
        move = msgspec.structs.replace(move, from_inode=await inode_of(host, facts))
        await context.write_ahead(move=move)
        files = [*context.steps.files(), (move.to_pool, temporary_name(move.name, context.id))]
        self._inventory.state.storage.operation_files.set(context.id, host.host_id, files)
        users = VolumeUsers.for_operation(self._inventory, host, context.operation)
        user = await users.only(move.name, move.from_path, move.vm_id)
        if user and (refused := why_not_move(user) or why_not_copy_running(facts, runs=user.active)):
            raise errors.Conflict(refused)
        copy: VolumeCopy | None = None
        if user is None or not user.active:
            folder = move.to_path.rpartition("/")[0]
            copy = VolumeCopy(context, host, facts, move.to_pool, folder, move.name)
            await copy.make(move.bandwidth_bytes_s)
        else:
            await self._copy_in_use(context, host, move, facts, user)
        await context.forbid_cancel()
        await self._commit(context, host, move, user, copy)

    # -- a disk in use ---------------------------------------------------------------------------------------------

    async def _copy_in_use(
        self, context: OperationContext[MoveSteps], host: LibvirtHost, move: Move, facts: VolumeFacts, user: DiskUser
    ) -> None:
        assert user.live is not None
        disk = MirroredDisk(vm=user.uuid, target=user.live.target)
        await check_file_name_free(host, move.to_pool, move.name)
        copy = CopyRecord(pool=move.to_pool, name=move.name, path=move.to_path)
        await context.write_ahead(copy=copy, disk=disk)
        await failpoint("volume.move:planned")
        # The format in which QEMU opened the guest's disk.
        image: Format = "qcow2" if user.live.format == "qcow2" else "raw"
        spec = VolumeSpec(
            pool=move.to_pool,
            name=move.name,
            size_bytes=facts.size_bytes,
            format=image,
            cluster_bytes=mirror_cluster_bytes(facts) if image == "qcow2" else 0,
        )
        created = await create_recorded(context, host, spec)
        await context.write_ahead(copy=msgspec.structs.replace(copy, inode=await inode_of(host, created)))
        await failpoint("volume.move:made")
        await host.disks.start_copy(disk.vm, disk.target, move.to_path, spec.format, move.bandwidth_bytes_s)
        await failpoint("volume.move:mirroring")
        await self._wait_and_pivot(context, host, disk, move)

    async def _wait_and_pivot(
        self, context: OperationContext[MoveSteps], host: LibvirtHost, disk: MirroredDisk, move: Move
    ) -> None:
        """Wait until both copies are equal, then switch the guest to the new one. Raises Conflict when QEMU gave up."""
        await context.report_step("copying while the VM runs")
        while True:
            job = await host.disks.job(disk.vm, disk.target)
            if job is None or job.path != move.to_path:
                raise errors.Conflict(f"{await self._why_ended(host, disk, move)}; it stays where it was")
            await context.report_bytes(*await _copied_bytes(host, move, job))
            if job.ready:
                break
            await asyncio.sleep(_POLL_S)
        await failpoint("volume.move:mirrored")
        await context.forbid_cancel()
        await host.disks.pivot(disk.vm, disk.target)
        await failpoint("volume.move:pivoted")

    async def _why_ended(self, host: LibvirtHost, disk: MirroredDisk, move: Move) -> str:
        """Why QEMU has given up copying, as far as can be seen."""
        facts = await host.read_domain(disk.vm)
        if facts is None:
            return "the VM was removed during the copy"
        if facts.state in (State.STOPPED, State.CRASHED, State.SAVED, State.FAILED):
            return f"the VM stopped during the copy{f' ({facts.reason})' if facts.reason else ''}"
        with suppress(errors.NovaCronError):
            await host.storage.refresh_pool(move.to_pool)
            await self._inventory.refresh_volumes(host.host_id)
        pool = self._inventory.state.storage.pools_on(host.host_id).get(move.to_pool)
        if pool is None or not pool.active:
            return f"the pool {move.to_pool} became inactive during the copy"
        if pool.available_bytes is not None and pool.available_bytes < _FULL_BYTES:
            return f"{move.tier} is full: {size_text(pool.available_bytes)} free"
        return "the copy was aborted outside NovaCron, or QEMU could not write it"

    # -- which copy is current -------------------------------------------------------------------------------------

    async def _commit(
        self,
        context: OperationContext[MoveSteps],
        host: LibvirtHost,
        move: Move,
        user: DiskUser | None,
        copy: VolumeCopy | None,
    ) -> None:
        if copy is not None:
            await copy.check_unchanged()  # its VM may have been started and stopped meanwhile
        await context.report_step(f"now in {move.tier}; removing the old copy")
        if user is not None:
            await host.disks.switch(user.uuid, move.from_path, move.to_path)
            await failpoint("volume.move:switched")
        await self._see_copy(host)
        # If the VM was started on the old copy outside NovaCron, that copy is current, and the new one is removed.
        if users := await host.disks.users(move.from_path):
            named = VolumeUsers.for_operation(self._inventory, host, context.operation).named(users[0])
            raise errors.Conflict(f"{named} was started during the move: its disk was not moved")
        await self._set_moved(move)
        await failpoint("volume.move:told")
        if postponed := await self._remove_old(context.operation, host, move):
            await context.report_step(postponed)
        await failpoint("volume.move:dropped")
        await self._refresh(host, user.uuid if user else None)

    async def _see_copy(self, host: LibvirtHost) -> None:
        """Read the pools before the row names the new file: until a read has seen it, the volume would not be found."""
        with suppress(errors.NovaCronError):
            await self._inventory.refresh_volumes(host.host_id)

    async def _set_moved(self, move: Move) -> None:
        moved_at = datetime.now(UTC)
        await self._set_row(move, pool=move.to_pool, tier=move.tier, moved_at=moved_at, came_from=move.from_tier)

    async def _set_row(self, move: Move, **changes: Any) -> None:
        seq = await change_volume(self._group_commit, move.volume_id, "volume.moved", **changes)
        await self._inventory.barrier(seq)  # otherwise the volume would be shown as unmanaged

    async def _remove_old(self, operation: Operation, host: LibvirtHost, move: Move) -> str:
        """Remove the old copy. Returns a sentence if that must wait. Raises Conflict when the old copy must be kept."""
        if await host.storage.read_volume(move.to_pool, move.name) is None:
            raise errors.Conflict("the new copy is not visible in its pool: the old copy was kept")
        if users := await host.disks.users(move.from_path, fresh=True):
            named = VolumeUsers.for_operation(self._inventory, host, operation).named(users[0])
            raise errors.Conflict(f"{named} still uses the old copy: it was not deleted")
        try:
            await host.storage.delete_volume(move.from_pool, move.name)
        except errors.HostUnavailable:
            raise
        except errors.NovaCronError as e:  # the move is done: what cannot be tidied now is tidied later
            old = CopyRecord(pool=move.from_pool, name=move.name, path=move.from_path, inode=move.from_inode)
            return await self._leftovers.remove_later(operation.id, old, e)
        return ""

    async def _refresh(self, host: LibvirtHost, vm_id: str | None) -> None:
        if vm_id:
            await self._inventory.refresh_vm(host.host_id, vm_id)
        await self._inventory.refresh_volumes(host.host_id)

    # -- after a failure or a crash --------------------------------------------------------------------------------

    async def undo(self, entry: Journal[MoveSteps]) -> str:
        """End a failed or cancelled move with whichever copy is current, and remove the other."""
        return await self._end_with_current_copy(entry, None)

    async def resume(self, context: OperationContext[MoveSteps]) -> str:
        """Continue a copy that QEMU is still making; otherwise do the same as `undo`."""
        return await self._end_with_current_copy(context.entry, context)

    async def _end_with_current_copy(
        self, entry: Journal[MoveSteps], context: OperationContext[MoveSteps] | None
    ) -> str:
        move, disk = entry.steps.move, entry.steps.disk
        if move is None:
            return "nothing was moved"
        host = self._inventory.host(entry.host_id)
        if context is not None and disk and await self._continue(context, host, move, disk):
            return CompletedAnyway(f"QEMU completed the copy: the volume is now in {move.tier}")
        if disk:
            await host.disks.abort_copy(disk.vm, disk.target)
        users_of = partial(host.disks.users, fresh=True)
        users = [*await users_of(move.from_path), *await users_of(move.to_path)]
        users = [user for user in users if not user.other_use]
        vm_id = users[0].uuid if users else None
        await self._see_copy(host)
        if await self._copy_is_current(move, users):
            for user in users:
                await host.disks.switch(user.uuid, move.from_path, move.to_path)
            await self._set_moved(move)
            postponed = await self._remove_old(entry.operation, host, move)
            await self._refresh(host, vm_id)
            return CompletedAnyway(f"the volume is in {move.tier}, and {postponed or 'the old copy was deleted'}")
        for user in users:
            await host.disks.switch(user.uuid, move.to_path, move.from_path)
        await self._set_row(move, pool=move.from_pool, tier=move.from_tier)
        postponed = await self._leftovers.discard(entry)
        await self._refresh(host, vm_id)
        return f"the volume was not moved, and {postponed or 'its copy was removed'}"

    async def _continue(
        self, context: OperationContext[MoveSteps], host: LibvirtHost, move: Move, disk: MirroredDisk
    ) -> bool:
        try:
            job = await host.disks.job(disk.vm, disk.target)
            if job is None or job.path != move.to_path:
                return False
            await self._wait_and_pivot(context, host, disk, move)
            users = await host.disks.users(move.to_path)
            await self._commit(context, host, move, users[0] if users else None, None)
        except (errors.Conflict, errors.NotFound) as e:
            _log.warning("a move could not be continued", operation=context.id, reason=e.detail)
            return False
        return True

    async def _copy_is_current(self, move: Move, users: Sequence[DiskUser]) -> bool:
        """Whether the new copy is current: decided by the disk of the running VM, else its definition, else the row."""
        for user in users:
            location = user.live if user.active else user.persistent
            if location is not None:
                return location.path == move.to_path
        row: VolumeRow | None = await self._database.run(lambda c: repository.get(c, move.volume_id), read_only=True)
        return row is not None and row.pool == move.to_pool


async def _copied_bytes(host: LibvirtHost, move: Move, job: BlockJob) -> tuple[int, int]:
    """Return (bytes copied, bytes in total). QEMU also counts the holes of a raw disk, which take no time, so the
    allocated bytes of the two files are better where they are known."""
    with suppress(errors.NovaCronError):  # only the progress would be wrong
        source = await host.storage.read_volume(move.from_pool, move.name)
        copy = await host.storage.read_volume(move.to_pool, move.name)
        if source is not None and copy is not None and 0 < source.allocated_bytes < job.total_bytes:
            return min(copy.allocated_bytes, source.allocated_bytes), source.allocated_bytes
    return job.done_bytes, max(job.total_bytes, 1)


def why_not_copy_running(facts: VolumeFacts, *, runs: bool) -> str | None:
    """Why a disk cannot be copied while its VM runs, as a sentence: QEMU copies what the guest sees, and nothing else."""
    if not runs or not facts.snapshots_inside:
        return None
    return f"{facts.name} has snapshots inside its file, which a move while its VM runs would lose: stop the VM first"


def why_not_move(user: DiskUser) -> str | None:
    """Why the disk of this VM cannot be moved, as a sentence; None if it can."""
    if user.snapshots:
        return f"{user.name} has snapshots, which refer to the disk's current location: delete them first"
    if user.saved:
        return f"{user.name} is saved, and its saved state refers to the disk's current location: start it first"
    if user.active and (user.live is None or user.persistent is None or user.live.path != user.persistent.path):
        return f"{user.name} runs on a different disk than its definition names: restart it first"
    for disk in (user.live, user.persistent):
        if disk is None:
            continue
        if disk.shareable or disk.transient or disk.read_only:
            kind = "shared" if disk.shareable else "transient" if disk.transient else "read-only"
            return f"the disk {disk.target} of {user.name} is {kind}: it cannot be moved"
        if disk.backing_file:
            return f"the disk {disk.target} of {user.name} has a backing file: it cannot be moved without it"
        if disk.mirror:
            return f"the disk {disk.target} of {user.name} is being copied outside NovaCron"
    return None
