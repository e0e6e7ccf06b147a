"""Moving a volume to another tier so that at every moment exactly one whole copy of it is the one that counts.

Which one counts is said by the VM's definition, or, for a volume that no VM has, by the volume's row. Everything else
follows that: after a failure or a crash the copy that does not count is taken away, and the row is set right.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec
import structlog

from novacron_core import errors
from novacron_server.database.transactions import Connection, Database
from novacron_server.hypervisor.facts import VolumeFacts
from novacron_server.hypervisor.host import LibvirtHost
from novacron_server.hypervisor.specs import Format, VolumeSpec
from novacron_server.hypervisor.vms.disks import BlockJob, DiskUser
from novacron_server.inventory.inventory import Inventory
from novacron_server.inventory.operation_files import temporary_name
from novacron_server.inventory.rows import VolumeRow
from novacron_server.operations.context import CompletedAnyway, OperationContext
from novacron_server.operations.failpoints import failpoint
from novacron_server.operations.repository import Stored
from novacron_server.operations.retries import retry_while_database_down
from novacron_server.outbox.group_commit import GroupCommit
from novacron_server.outbox.records import EventDraft
from novacron_server.volumes import repository
from novacron_server.volumes.copies import VolumeCopy, check_free, create_ours, identity
from novacron_server.volumes.leftover_copies import LeftoverCopies
from novacron_server.volumes.row_events import volume_row_event
from novacron_server.volumes.users import only_user

_log = structlog.get_logger()
_LOOK_EVERY_S = 0.25


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """What moves where; kept with the operation, so that a later server can settle it. Paths are the host's."""

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


class VolumeMoves:
    """The work behind the verb."""

    def __init__(
        self, database: Database, group_commit: GroupCommit, inventory: Inventory, leftovers: LeftoverCopies
    ) -> None:
        self._leftovers = leftovers
        self._database = database
        self._group_commit = group_commit
        self._inventory = inventory

    async def move(self, run: OperationContext, host: LibvirtHost, move: Move, facts: VolumeFacts) -> None:
        """Raises Conflict with the reason it cannot be done, and what the host refuses."""
        move = msgspec.structs.replace(move, from_inode=await identity(host, facts))
        steps = {"move": msgspec.to_builtins(move)}
        await run.write_ahead(**steps)
        copy = {"pool": move.to_pool, "temporary": temporary_name(move.name, run.id)}
        self._inventory.state.storage.copies.note(run.id, host.host_id, {**steps, "copy": copy})
        user = await only_user(host, move.name, move.from_path, move.vm_id)
        if user and (refused := why_not_move(user)):
            raise errors.Conflict(refused)
        copying: VolumeCopy | None = None
        if user is None or not user.active:
            folder = move.to_path.rpartition("/")[0]
            copying = VolumeCopy(run, host, facts, move.to_pool, folder, move.name)
            await copying.make(move.bandwidth_bytes_s)
        else:
            await self._copy_in_use(run, host, move, facts, user)
        await run.forbid_cancel()
        await self._commit(run, host, move, user, copying)

    # -- a disk in use ---------------------------------------------------------------------------------------------

    async def _copy_in_use(
        self, run: OperationContext, host: LibvirtHost, move: Move, facts: VolumeFacts, user: DiskUser
    ) -> None:
        assert user.live is not None
        target = user.live.target
        await check_free(host, move.to_pool, move.name)
        copy = {"pool": move.to_pool, "name": move.name, "path": move.to_path, "temporary": "", "inode": 0}
        await run.write_ahead(copy=copy, disk={"vm": user.uuid, "target": target})
        await failpoint("volume.move:planned")
        image: Format = "qcow2" if user.live.format == "qcow2" else "raw"  # as the guest's disk is opened
        spec = VolumeSpec(pool=move.to_pool, name=move.name, size_bytes=facts.size_bytes, format=image)
        made = await create_ours(run, host, spec)
        await run.write_ahead(copy={**copy, "inode": await identity(host, made)})
        await failpoint("volume.move:made")
        await host.disks.start_copy(user.uuid, target, move.to_path, spec.format, move.bandwidth_bytes_s)
        await failpoint("volume.move:mirroring")
        await self._follow(run, host, user.uuid, target, move)

    async def _follow(self, run: OperationContext, host: LibvirtHost, vm_id: str, target: str, move: Move) -> None:
        """Until both sides are the same, then the guest is on the copy. Raises Conflict when the copying ended."""
        await run.report_step("copying while the VM runs")
        while True:
            job = await host.disks.job(vm_id, target)
            if job is None or job.path != move.to_path:
                raise errors.Conflict(
                    "QEMU ended the copying: the tier is full, or the VM stopped; it stays where it was"
                )
            await run.report_bytes(*await _through(host, move, job))
            if job.ready:
                break
            await asyncio.sleep(_LOOK_EVERY_S)
        await failpoint("volume.move:mirrored")
        await run.forbid_cancel()
        await host.disks.pivot(vm_id, target)
        await failpoint("volume.move:pivoted")

    # -- which copy counts -----------------------------------------------------------------------------------------

    async def _commit(
        self, run: OperationContext, host: LibvirtHost, move: Move, user: DiskUser | None, copying: VolumeCopy | None
    ) -> None:
        if copying is not None:
            await copying.check_unchanged()  # its VM may have been started and stopped since
        await run.report_step(f"now in {move.tier}: the old copy goes")
        if user is not None:
            await host.disks.switch(user.uuid, move.from_path, move.to_path)
            await failpoint("volume.move:switched")
        # Behind our back the VM may have been started on the old copy: then that one counts, and this one goes.
        if users := await host.disks.users(move.from_path):
            raise errors.Conflict(f"{users[0].name} was started meanwhile: its disk stays where it was")
        await self._settle_row(move, move.to_pool, move.tier)
        await failpoint("volume.move:told")
        if later := await self._drop_old(run.id, host, move):
            await run.report_step(later)
        await failpoint("volume.move:dropped")
        await self._refresh(host, user.uuid if user else None)

    async def _settle_row(self, move: Move, pool: str, tier: str | None) -> None:
        async def settle(connection: Connection) -> tuple[None, Sequence[EventDraft]]:
            row = await repository.change(connection, move.volume_id, pool=pool, tier=tier)
            return None, [volume_row_event(row, "volume.moved")] if row else []

        await retry_while_database_down("telling where the volume is", lambda: self._group_commit.write(settle))
        await self._inventory.until_volume_is_in(move.volume_id, pool)

    async def _drop_old(self, operation_id: str, host: LibvirtHost, move: Move) -> str:
        """Returns a sentence when it can only be done later. Raises Conflict when it must not be done."""
        if await host.storage.read_volume(move.to_pool, move.name) is None:
            raise errors.Conflict("the new copy is not seen in its pool: the old one stays")
        if users := await host.disks.users(move.from_path, fresh=True):
            raise errors.Conflict(f"{users[0].name} still uses the old copy: it stays")
        try:
            await host.storage.delete_volume(move.from_pool, move.name)
        except errors.Conflict as e:  # its pool is off
            old = {"pool": move.from_pool, "name": move.name, "path": move.from_path, "temporary": ""}
            return await self._leftovers.later(operation_id, {**old, "inode": move.from_inode}, e)
        return ""

    async def _refresh(self, host: LibvirtHost, vm_id: str | None) -> None:
        if vm_id:
            await self._inventory.refresh_vm(host.host_id, vm_id)
        await self._inventory.refresh_volumes(host.host_id)

    # -- after a failure or a crash --------------------------------------------------------------------------------

    async def undo(self, stored: Stored) -> str:
        """End a move that failed or was cancelled, on the copy that counts."""
        return await self._settle(stored, None)

    async def finish(self, stored: Stored, run: OperationContext) -> str:
        """After a crash: a copying that QEMU still does is gone on with; else as `undo`."""
        return await self._settle(stored, run)

    async def _settle(self, stored: Stored, run: OperationContext | None) -> str:
        if "move" not in stored.steps:
            return "nothing had been moved"
        move, host = msgspec.convert(stored.steps["move"], Move), self._inventory.host(stored.host_id or "")
        disk: dict[str, Any] = stored.steps.get("disk") or {}
        if run is not None and disk and await self._go_on(run, host, move, disk):
            return f"QEMU went on copying, and the volume is in {move.tier} now"
        if disk:
            await host.disks.abort_copy(disk["vm"], disk["target"])
        look = partial(host.disks.users, fresh=True)
        users = [*await look(move.from_path), *await look(move.to_path)]
        users = [user for user in users if not user.otherwise]
        vm_id = users[0].uuid if users else None
        if await self._copy_counts(move, users):
            for user in users:
                await host.disks.switch(user.uuid, move.from_path, move.to_path)
            await self._settle_row(move, move.to_pool, move.tier)
            later = await self._drop_old(stored.operation.id, host, move)
            await self._refresh(host, vm_id)
            return CompletedAnyway(f"the volume is in {move.tier}, and {later or 'the old copy is gone'}")
        for user in users:
            await host.disks.switch(user.uuid, move.to_path, move.from_path)
        await self._settle_row(move, move.from_pool, move.from_tier)
        later = await self._leftovers.discard(stored)
        await self._refresh(host, vm_id)
        return f"the volume is where it was, and {later or 'nothing of the copy is left'}"

    async def _go_on(self, run: OperationContext, host: LibvirtHost, move: Move, disk: dict[str, Any]) -> bool:
        try:
            job = await host.disks.job(disk["vm"], disk["target"])
            if job is None or job.path != move.to_path:
                return False
            await self._follow(run, host, disk["vm"], disk["target"], move)
            users = await host.disks.users(move.to_path)
            await self._commit(run, host, move, users[0] if users else None, None)
        except (errors.Conflict, errors.NotFound) as e:
            _log.warning("a move could not be gone on with", operation=run.id, reason=e.detail)
            return False
        return True

    async def _copy_counts(self, move: Move, users: Sequence[DiskUser]) -> bool:
        """A VM's word counts most while it runs, then its definition's; without a VM, the row's."""
        for user in users:
            place = user.live if user.active else user.lasting
            if place is not None:
                return place.path == move.to_path
        row: VolumeRow | None = await self._database.run(lambda c: repository.get(c, move.volume_id), read_only=True)
        return row is not None and row.pool == move.to_pool


async def _through(host: LibvirtHost, move: Move, job: BlockJob) -> tuple[int, int]:
    """How many bytes of how many are copied. QEMU counts the holes of a raw disk, which cost no time: then what the two
    files hold says more."""
    with suppress(errors.NovaCronError):  # it is only told
        source = await host.storage.read_volume(move.from_pool, move.name)
        copy = await host.storage.read_volume(move.to_pool, move.name)
        if source is not None and copy is not None and 0 < source.allocated_bytes < job.total_bytes:
            return min(copy.allocated_bytes, source.allocated_bytes), source.allocated_bytes
    return job.done_bytes, max(job.total_bytes, 1)


def why_not_move(user: DiskUser) -> str | None:
    """The sentence that refuses to move a disk under its VM, None when nothing is against it."""
    if user.snapshots:
        return f"{user.name} has snapshots, which name the disk where it is: delete them first"
    if user.saved:
        return f"{user.name} is saved, with the disk where it is: start it first"
    if user.active and (user.live is None or user.lasting is None or user.live.path != user.lasting.path):
        return f"{user.name} runs on another disk than its definition says: restart it first"
    for place in (user.live, user.lasting):
        if place is None:
            continue
        if place.shareable or place.transient or place.read_only:
            kind = "shared" if place.shareable else "transient" if place.transient else "read-only"
            return f"the disk {place.target} of {user.name} is {kind}: it cannot be moved"
        if place.backing_file:
            return f"the disk {place.target} of {user.name} leans on other files: it cannot be moved alone"
        if place.mirror:
            return f"the disk {place.target} of {user.name} is being copied by somebody else"
    return None
