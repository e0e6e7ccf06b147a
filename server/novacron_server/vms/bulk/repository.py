"""The SQL of the items of bulks."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Row, and_, bindparam, case, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import JSONB

from novacron_core.api.operations import BulkItem, BulkItemState
from novacron_core.rules.bulk_words import WORST_FIRST
from novacron_core.values.operation_kinds import OperationKind
from novacron_server.database.rows import read_each
from novacron_server.database.tables import bulk_items as t
from novacron_server.database.tables import operations as o
from novacron_server.database.transactions import Connection
from novacron_server.operations.repository import UNENDED


class StoredItem(msgspec.Struct, frozen=True, kw_only=True):
    """An item, and the VM's generation when the bulk was accepted."""

    item: BulkItem
    generation: int | None = None


_ADD = text(
    """INSERT INTO bulk_items
        (operation_id, position, vm_id, host_id, name, generation, state, reason, finished_at, type)
    SELECT CAST(:operation AS uuid), position, vm_id, host, name, generation, state, reason, finished_at, type
    FROM jsonb_to_recordset(:items) AS items (position int, vm_id text, host uuid, name text, generation int, state text,
        reason text, finished_at timestamptz, type text)"""
).bindparams(bindparam("items", type_=JSONB))
_SAVE = text(
    """UPDATE bulk_items SET state = new.state, reason = new.reason, finished_at = new.finished_at
    FROM jsonb_to_recordset(:items) AS new (position int, state text, reason text, finished_at timestamptz)
    WHERE bulk_items.operation_id = CAST(:operation AS uuid) AND bulk_items.position = new.position
    AND bulk_items.state IN ('queued', 'running')"""
).bindparams(bindparam("items", type_=JSONB))


async def count_open(connection: Connection, user_id: str) -> int:
    """How many bulks of a user have not ended, with one that this transaction has written."""
    where = (o.c.kind == str(OperationKind.VM_BULK), o.c.actor_id == user_id, o.c.state.in_(map(str, UNENDED)))
    return int((await connection.execute(select(func.count()).select_from(o).where(*where))).scalar_one())


async def add(connection: Connection, operation_id: str, items: Sequence[StoredItem]) -> None:
    """Insert all items of a bulk with one statement: thousands of rows in a few milliseconds."""
    rows = [{**msgspec.to_builtins(stored.item), "generation": stored.generation} for stored in items]
    await connection.execute(_ADD, {"operation": operation_id, "items": rows})


async def all_of(connection: Connection, operation_id: str) -> list[StoredItem]:
    """The items of a bulk, in their order."""
    rows = await connection.execute(select(t).where(t.c.operation_id == operation_id).order_by(t.c.position))
    return read_each(rows, lambda row: StoredItem(item=_item(row), generation=row.generation))


async def begin(
    connection: Connection, operation_id: str, position: int, child_id: str, previous: str | None, at: datetime
) -> bool:
    """Note that this operation runs for an item, which is queued or was run by the operation `previous`. False if it is
    not, because the bulk was stopped."""
    waits = t.c.state == str(BulkItemState.QUEUED)
    redone = and_(t.c.state == str(BulkItemState.RUNNING), t.c.child_id == previous)
    where = (t.c.operation_id == operation_id, t.c.position == position, or_(waits, redone))
    values = {"state": str(BulkItemState.RUNNING), "child_id": child_id, "started_at": at}
    return (
        await connection.execute(update(t).where(*where).values(values).returning(t.c.position))
    ).first() is not None


async def save_ends(connection: Connection, operation_id: str, items: Collection[BulkItem]) -> None:
    """Store the ends of items. An end that is stored already stays."""
    rows = [msgspec.to_builtins(item) for item in items]
    await connection.execute(_SAVE, {"operation": operation_id, "items": rows})


async def cancel_queued(connection: Connection, operation_id: str, why: str, at: datetime) -> list[int]:
    """Cancel the items that have not begun. Returns their positions."""
    where = (t.c.operation_id == operation_id, t.c.state == str(BulkItemState.QUEUED))
    values = {"state": str(BulkItemState.CANCELLED), "reason": why, "finished_at": at}
    return list((await connection.execute(update(t).where(*where).values(values).returning(t.c.position))).scalars())


async def page(
    connection: Connection, operation_id: str, words: Sequence[str], offset: int, limit: int, *, reasons: bool
) -> tuple[list[BulkItem], int]:
    """Return (one page, the total number), the worst first. Each word must be in name, state or (`reasons`) reason."""
    searched = (t.c.name, t.c.state, *([t.c.reason] if reasons else []))
    where: list[Any] = [t.c.operation_id == operation_id]
    for word in words:
        where.append(func.concat_ws(" ", *searched).icontains(word, autoescape=True))
    total = (await connection.execute(select(func.count()).select_from(t).where(*where))).scalar_one()
    rank = case({str(state): rank for rank, state in enumerate(WORST_FIRST)}, value=t.c.state)
    rows = await connection.execute(select(t).where(*where).order_by(rank, t.c.position).offset(offset).limit(limit))
    return read_each(rows, _item), total


def _item(row: Row[Any]) -> BulkItem:
    return BulkItem(
        position=row.position,
        vm_id=row.vm_id,
        name=row.name,
        state=BulkItemState(row.state),
        host=str(row.host_id) if row.host_id else None,
        operation_id=str(row.child_id) if row.child_id else None,
        reason=row.reason,
        started_at=row.started_at,
        finished_at=row.finished_at,
        type=row.type,
    )
