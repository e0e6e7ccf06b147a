"""What a deleted account has owned: it stays, and says so, and a new account of the same name does not inherit it."""

from __future__ import annotations

from novacron_core.values.names import former_owner
from novacron_server.database.transactions import Connection
from novacron_server.outbox.records import EventDraft
from novacron_server.vms import repository
from novacron_server.vms.row_events import vm_row_event
from novacron_server.volumes import repository as volumes
from novacron_server.volumes.row_events import volume_row_event


async def disown(connection: Connection, username: str) -> list[EventDraft]:
    """Mark the VMs and volumes of an account that is being deleted as those of a former user. Returns the events."""
    former, note = former_owner(username), f"its owner {username} was deleted"
    drafts = [
        vm_row_event(row, "vm.updated", note=note)
        for row in await repository.replace_owner(connection, username, former)
    ]
    changed = await volumes.replace_owner(connection, username, former)
    return [*drafts, *(volume_row_event(row, "volume.updated") for row in changed)]
