"""Changes of a VM's row and its volumes' rows that several operations share, with their events."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec
import structlog

from novacron_server.database.transactions import Connection
from novacron_server.inventory.rows import VolumeRow
from novacron_server.inventory.state import InventoryState
from novacron_server.operations.retries import retry_while_database_down
from novacron_server.outbox.group_commit import GroupCommit
from novacron_server.outbox.records import EventDraft
from novacron_server.tasks import try_to
from novacron_server.vms import repository
from novacron_server.vms.row_events import vm_row_event
from novacron_server.volumes import repository as volumes
from novacron_server.volumes.row_events import volume_row_event

_log = structlog.get_logger()


async def rename_vm(group_commit: GroupCommit, host_id: str, vm_id: str, name: str) -> None:
    """Give a VM's row the name that the VM has on its host: the old one is free from now on."""

    async def work(connection: Connection) -> tuple[None, list[EventDraft]]:
        row = await repository.rename(connection, host_id, vm_id, name)
        return None, [vm_row_event(row, "vm.updated", note="renamed outside NovaCron")] if row else []

    await retry_while_database_down("renaming a VM", lambda: group_commit.write(work))


async def follow_names(group_commit: GroupCommit, state: InventoryState, host_id: str) -> bool:
    """Give the rows of a host the names that their VMs have now: libvirt can rename them. Returns whether one had another
    name."""
    renamed = False
    for key, row in list(state.rows.items()):
        known = state.known.get(key)
        if key[0] == host_id and known is not None and known.facts.name not in ("", row.name):
            _log.info("a VM was renamed outside NovaCron", old=row.name, new=known.facts.name, id=key[1])
            await try_to("renaming a VM", partial(rename_vm, group_commit, *key, known.facts.name))
            renamed = True
    return renamed


async def release_vm(
    group_commit: GroupCommit,
    host_id: str,
    vm_id: str,
    volume_ids: Sequence[str],
    *,
    only_of: tuple[str, str] | None = None,
) -> None:
    """Remove the rows of a VM and of these volumes, which stay as they are: they are unmanaged from then on. With
    `only_of`, given as (tenant, owner), nothing is changed if the VM belongs to somebody else."""

    async def work(connection: Connection) -> tuple[None, list[EventDraft]]:
        drafts: list[EventDraft] = []
        row = await repository.get(connection, host_id, vm_id)
        if only_of is not None and (row is None or (row.tenant, row.owner) != only_of):
            return None, drafts
        for volume_id in volume_ids:
            volume = await volumes.get(connection, volume_id)
            if volume is not None and (only_of is None or volume.tenant == only_of[0]):
                await volumes.remove(connection, volume_id)
                drafts.append(volume_row_event(volume, gone=True))
        await volumes.clear_vm(connection, host_id, vm_id)
        if row is not None:
            await repository.remove(connection, host_id, vm_id)
            drafts.append(vm_row_event(row, "vm.updated", gone=True, note="released"))
        return None, drafts

    await retry_while_database_down("releasing a VM", lambda: group_commit.write(work))


async def remove_vm(
    group_commit: GroupCommit, host_id: str, vm_id: str, deleted: Sequence[VolumeRow] = (), note: str = ""
) -> None:
    """Remove a VM's row and the rows of the volumes deleted with it. Its other volumes keep their owner."""

    async def work(connection: Connection) -> tuple[None, list[EventDraft]]:
        row = await repository.get(connection, host_id, vm_id)
        gone = {volume.id for volume in deleted}
        remaining = [volume for volume in await volumes.of_vm(connection, host_id, vm_id) if volume.id not in gone]
        await repository.remove(connection, host_id, vm_id)
        for volume in deleted:
            await volumes.remove(connection, volume.id)
        await volumes.clear_vm(connection, host_id, vm_id)
        drafts = [volume_row_event(volume, gone=True) for volume in deleted]
        drafts += [volume_row_event(msgspec.structs.replace(volume, vm_id=None)) for volume in remaining]
        if row:
            drafts.append(vm_row_event(row, "vm.deleted", gone=True, note=note))
        return None, drafts

    await retry_while_database_down("removing a VM's row", lambda: group_commit.write(work))
