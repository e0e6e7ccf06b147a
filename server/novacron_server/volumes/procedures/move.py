"""Move a volume to another tier, so that at every moment exactly one complete copy of it is the current one.

The VM's definition tells which copy is current; for a volume that no VM has, the volume's row does. Everything else
follows that: after a failure or a crash the other copy is removed, and the row is corrected.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial

import msgspec
import structlog

from novacron_core import errors
from novacron_core.values.operation_kinds import OperationKind
from novacron_server.database.transactions import Database
from novacron_server.hypervisor.facts import VolumeFacts
from novacron_server.hypervisor.host import LibvirtHost
from novacron_server.hypervisor.specs import Format, VolumeSpec, with_creation_format
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
from novacron_server.volumes.copy import CopyRecord, CopySteps, VolumeCopy, check_free, create_recorded, inode_of
from novacron_server.volumes.leftover_copies import LeftoverCopies
from novacron_server.volumes.rows import change_volume
from novacron_server.volumes.users import only_user

_log = structlog.get_logger()
_POLL_S = 0.25


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """What moves where. Paths are the host's. `format` is the one that the volume was created with."""

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
    """Tells the old copy from any later file of its name, 0 where this process does not see it."""
    format: str = ""


class MirroredDisk(msgspec.Struct, frozen=True, kw_only=True):
    """The disk that QEMU copies while it is in use: the VM's uuid and the disk's target (`vda`)."""

    vm: str
    target: str


class MoveSteps(CopySteps, frozen=True):
    """`move` is None in a journal of before version 1 that was cut off at once."""

    move: Move | None = None
    disk: MirroredDisk | None = None

    def files(self) -> Iterable[tuple[str, str]]:
        own = super().files()
        if self.move is None:
            return own
        return [*own, (self.move.from_pool, self.move.name), (self.move.to_pool, self.move.name)]


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
        """Raises Conflict with the reason it cannot be done, and what the host refuses."""
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
        self._inventory.state.storage.operation_files.note(context.id, host.host_id, files)
        user = await only_user(host, move.name, move.from_path, move.vm_id)
        if user and (refused := why_not_move(user)):
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
        await check_free(host, move.to_pool, move.name)
        copy = CopyRecord(pool=move.to_pool, name=move.name, path=move.to_path)
        await context.write_ahead(copy=copy, disk=disk)
        await failpoint("volume.move:planned")
        image: Format = "qcow2" if user.live.format == "qcow2" else "raw"  # as the guest's disk is opened
        spec = VolumeSpec(pool=move.to_pool, name=move.name, size_bytes=facts.size_bytes, format=image)
        made = await create_recorded(context, host, spec)
        await context.write_ahead(copy=msgspec.structs.replace(copy, inode=await inode_of(host, made)))
        await failpoint("volume.move:made")
        await host.disks.start_copy(disk.vm, disk.target, move.to_path, spec.format, move.bandwidth_bytes_s)
        await failpoint("volume.move:mirroring")
        await self._follow(context, host, disk, move)

    async def _follow(
        self, context: OperationContext[MoveSteps], host: LibvirtHost, disk: MirroredDisk, move: Move
    ) -> None:
        """Wait until both sides are equal, then switch the guest to the copy. Raises Conflict when copying ended."""
        await context.report_step("copying while the VM runs")
        while True:
            job = await host.disks.job(disk.vm, disk.target)
            if job is None or job.path != move.to_path:
                raise errors.Conflict(
                    "QEMU ended the copying: the tier is full, or the VM stopped; it stays where it was"
                )
            await context.report_bytes(*await _copied(host, move, job))
            if job.ready:
                break
            await asyncio.sleep(_POLL_S)
        await failpoint("volume.move:mirrored")
        await context.forbid_cancel()
        await host.disks.pivot(disk.vm, disk.target)
        await failpoint("volume.move:pivoted")

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
            await copy.check_unchanged()  # its VM may have been started and stopped since
        await context.report_step(f"now in {move.tier}; removing the old copy")
        if user is not None:
            await host.disks.switch(user.uuid, move.from_path, move.to_path)
            await failpoint("volume.move:switched")
        # The VM may have been started outside NovaCron on the old copy: then that one is current, and this one goes.
        if users := await host.disks.users(move.from_path):
            raise errors.Conflict(f"{users[0].name} was started during the move: its disk was not moved")
        await self._set_row(move, move.to_pool, move.tier)
        await failpoint("volume.move:told")
        if later := await self._remove_old(context.id, host, move):
            await context.report_step(later)
        await failpoint("volume.move:dropped")
        await self._refresh(host, user.uuid if user else None)

    async def _set_row(self, move: Move, pool: str, tier: str | None) -> None:
        seq = await change_volume(self._group_commit, move.volume_id, "volume.moved", pool=pool, tier=tier)
        await self._inventory.barrier(seq)  # else the volume would be shown as unmanaged

    async def _remove_old(self, operation_id: str, host: LibvirtHost, move: Move) -> str:
        """Returns a sentence when it can only be done later. Raises Conflict when it must not be done."""
        if await host.storage.read_volume(move.to_pool, move.name) is None:
            raise errors.Conflict("the new copy is not visible in its pool: the old copy was kept")
        if users := await host.disks.users(move.from_path, fresh=True):
            raise errors.Conflict(f"{users[0].name} still uses the old copy: it was not deleted")
        try:
            await host.storage.delete_volume(move.from_pool, move.name)
        except errors.Conflict as e:  # its pool is off
            old = CopyRecord(pool=move.from_pool, name=move.name, path=move.from_path, inode=move.from_inode)
            return await self._leftovers.remove_later(operation_id, old, e)
        return ""

    async def _refresh(self, host: LibvirtHost, vm_id: str | None) -> None:
        if vm_id:
            await self._inventory.refresh_vm(host.host_id, vm_id)
        await self._inventory.refresh_volumes(host.host_id)

    # -- after a failure or a crash --------------------------------------------------------------------------------

    async def undo(self, entry: Journal[MoveSteps]) -> str:
        """End a move that failed or was cancelled, on the copy that is current."""
        return await self._end_on_current(entry, None)

    async def resume(self, context: OperationContext[MoveSteps]) -> str:
        """After a crash: copying that QEMU still does is continued; else as `undo`."""
        return await self._end_on_current(context.entry, context)

    async def _end_on_current(self, entry: Journal[MoveSteps], context: OperationContext[MoveSteps] | None) -> str:
        move, disk = entry.steps.move, entry.steps.disk
        if move is None:
            return "nothing was moved"
        host = self._inventory.host(entry.host_id)
        if context is not None and disk and await self._continue(context, host, move, disk):
            return f"QEMU completed the copy: the volume is now in {move.tier}"
        if disk:
            await host.disks.abort_copy(disk.vm, disk.target)
        look = partial(host.disks.users, fresh=True)
        users = [*await look(move.from_path), *await look(move.to_path)]
        users = [user for user in users if not user.otherwise]
        vm_id = users[0].uuid if users else None
        if await self._copy_is_current(move, users):
            for user in users:
                await host.disks.switch(user.uuid, move.from_path, move.to_path)
            await self._set_row(move, move.to_pool, move.tier)
            later = await self._remove_old(entry.operation.id, host, move)
            await self._refresh(host, vm_id)
            return CompletedAnyway(f"the volume is in {move.tier}, and {later or 'the old copy was deleted'}")
        for user in users:
            await host.disks.switch(user.uuid, move.to_path, move.from_path)
        await self._set_row(move, move.from_pool, move.from_tier)
        later = await self._leftovers.discard(entry)
        await self._refresh(host, vm_id)
        return f"the volume was not moved, and {later or 'its copy was removed'}"

    async def _continue(
        self, context: OperationContext[MoveSteps], host: LibvirtHost, move: Move, disk: MirroredDisk
    ) -> bool:
        try:
            job = await host.disks.job(disk.vm, disk.target)
            if job is None or job.path != move.to_path:
                return False
            await self._follow(context, host, disk, move)
            users = await host.disks.users(move.to_path)
            await self._commit(context, host, move, users[0] if users else None, None)
        except (errors.Conflict, errors.NotFound) as e:
            _log.warning("a move could not be continued", operation=context.id, reason=e.detail)
            return False
        return True

    async def _copy_is_current(self, move: Move, users: Sequence[DiskUser]) -> bool:
        """A VM that runs decides, then its definition; without a VM, the row."""
        for user in users:
            location = user.live if user.active else user.lasting
            if location is not None:
                return location.path == move.to_path
        row: VolumeRow | None = await self._database.run(lambda c: repository.get(c, move.volume_id), read_only=True)
        return row is not None and row.pool == move.to_pool


async def _copied(host: LibvirtHost, move: Move, job: BlockJob) -> tuple[int, int]:
    """How many bytes of how many are copied. QEMU counts the holes of a raw disk, which take no time: then the
    allocation of the two files tells more."""
    with suppress(errors.NovaCronError):  # it is progress alone
        source = await host.storage.read_volume(move.from_pool, move.name)
        copy = await host.storage.read_volume(move.to_pool, move.name)
        if source is not None and copy is not None and 0 < source.allocated_bytes < job.total_bytes:
            return min(copy.allocated_bytes, source.allocated_bytes), source.allocated_bytes
    return job.done_bytes, max(job.total_bytes, 1)


def why_not_move(user: DiskUser) -> str | None:
    """The sentence that refuses to move a disk under its VM, None when nothing is against it."""
    if user.snapshots:
        return f"{user.name} has snapshots, which refer to the disk's current location: delete them first"
    if user.saved:
        return f"{user.name} is saved, and its saved state refers to the disk's current location: start it first"
    if user.active and (user.live is None or user.lasting is None or user.live.path != user.lasting.path):
        return f"{user.name} runs on a different disk than its definition names: restart it first"
    for disk in (user.live, user.lasting):
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
