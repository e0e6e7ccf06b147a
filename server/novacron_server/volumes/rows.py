"""Changes of a volume's row that several operations share, with their events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from novacron_core import errors
from novacron_core.api.operations import Operation
from novacron_server.database.transactions import Connection
from novacron_server.inventory.rows import VolumeRow
from novacron_server.operations.retries import retry_while_database_down
from novacron_server.outbox.group_commit import GroupCommit
from novacron_server.outbox.records import EventDraft
from novacron_server.quotas import repository as quotas
from novacron_server.volumes import repository
from novacron_server.volumes.row_events import volume_row_event


async def remove_stale_row(connection: Connection, row: VolumeRow | None) -> list[EventDraft]:
    """Remove the row of a volume that was removed outside NovaCron. Raises Conflict when the row has changed."""
    if not await repository.remove_stale(connection, row):
        raise errors.Conflict("the name was just taken: refresh and try again")
    return [volume_row_event(row, gone=True)] if row else []


async def add_volume(
    connection: Connection, operation: Operation, row: VolumeRow, stale: VolumeRow | None
) -> list[EventDraft]:
    """Insert the row of a new volume in its operation's transaction.

    Raises Conflict when its name is taken, QuotaExceeded.
    """
    await check_quota(connection, operation, row.tenant, row.tier, row.size_bytes)
    removed = await remove_stale_row(connection, stale)
    await repository.add(connection, row)
    return [*removed, volume_row_event(row)]


async def check_quota(
    connection: Connection, operation: Operation, tenant: str, tier: str | None, more_bytes: int
) -> None:
    """Raises QuotaExceeded when the tenant may not have so much more disk space in a tier."""
    if tier is not None:
        demand = quotas.Demand(disk_bytes={tier: more_bytes})
        await quotas.check(connection, tenant, demand, operation_id=operation.id)


async def change_volume(group_commit: GroupCommit, volume_id: str, event: str, **changes: Any) -> int:
    """Change columns of a row, if it exists, and publish it. Returns the event number to pass to a barrier."""

    async def change(connection: Connection) -> tuple[None, Sequence[EventDraft]]:
        row = await repository.change(connection, volume_id, **changes)
        return None, [volume_row_event(row, event)] if row else []

    _, seq = await retry_while_database_down("changing a volume's row", lambda: group_commit.write_numbered(change))
    return seq


async def remove_volume(group_commit: GroupCommit, volume_id: str) -> None:
    """Remove a row, if it exists, and publish the removal."""

    async def remove(connection: Connection) -> tuple[None, Sequence[EventDraft]]:
        row = await repository.get(connection, volume_id)
        if row is None:
            return None, []
        await repository.remove(connection, row.id)
        return None, [volume_row_event(row, gone=True)]

    await retry_while_database_down("removing a volume's row", lambda: group_commit.write(remove))
