"""The SQL of the outbox. Sequence numbers come from one counter row: they are contiguous and rise in commit order."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from novacron_core.api.events import Priority
from novacron_core.api.operations import Target
from novacron_server.audit import repository as audit
from novacron_server.database.rows import storable
from novacron_server.database.tables import event_counter as counter
from novacron_server.database.tables import events as t
from novacron_server.outbox.records import EventDraft, EventRecord

_TAKE = update(counter).values(last=counter.c.last + bindparam("count")).returning(counter.c.last)
_INSERT = insert(t)


async def append(conn: AsyncConnection, drafts: Sequence[EventDraft]) -> list[int]:
    """Write events, and the entries of the audit log that they carry; returns the events' numbers. Call it LAST in a
    transaction.

    The counter's row stays locked until the commit, and PostgreSQL makes a transaction's rows visible before it
    releases its locks: a transaction that gets the next number commits later, and a rollback returns its numbers.
    Guarantee G7 depends on this lock. While the transaction continues after this call, all other writers wait.
    """
    if not drafts:
        return []
    await audit.write(conn, [draft.audit for draft in drafts if draft.audit is not None])
    last = (await conn.execute(_TAKE, {"count": len(drafts)})).scalar_one()
    numbers = list(range(last - len(drafts) + 1, last + 1))
    now = datetime.now(UTC)
    await conn.execute(_INSERT, [_values(seq, draft, now) for seq, draft in zip(numbers, drafts, strict=True)])
    return numbers


async def wait_for_open_transactions(conn: AsyncConnection) -> None:
    """Wait for every transaction that has taken numbers, including one whose COMMIT had an unknown outcome: a later
    read in the same transaction sees the result."""
    await conn.execute(select(counter.c.last).with_for_update())


async def last_seq(conn: AsyncConnection) -> int:
    """The newest committed number, 0 before the first. Read it in the transaction that reads the corresponding rows;
    that requires REPEATABLE READ or an idempotent fold."""
    return int((await conn.execute(select(counter.c.last))).scalar_one())


async def first_seq(conn: AsyncConnection) -> int | None:
    """The oldest stored number, None if there is none."""
    found = (await conn.execute(select(func.min(t.c.seq)))).scalar_one()
    return None if found is None else int(found)


async def read_after(conn: AsyncConnection, after: int, limit: int = 1000) -> list[EventRecord]:
    """The events after a number, in order."""
    rows = await conn.execute(select(t).where(t.c.seq > after).order_by(t.c.seq).limit(limit))
    return [_record(row) for row in rows]


async def prune(conn: AsyncConnection, older_than: datetime) -> int:
    """Delete events before a time, except those of the last hour; returns how many. Events are deleted only here."""
    return int((await conn.execute(select(func.prune_events(older_than)))).scalar_one())


def _values(seq: int, draft: EventDraft, now: datetime) -> dict[str, Any]:
    return {
        "seq": seq,
        "id": str(uuid.uuid4()),
        "type": draft.type,
        "source": storable(draft.source),
        "target_type": draft.target.type,
        "target_id": storable(draft.target.id),
        "target_name": storable(draft.target.name),
        "tenant": draft.tenant,
        "priority": str(draft.priority),
        "time": now,
        "row": draft.row,
        "gone": draft.gone,
        "note": storable(draft.note),
        "before": draft.before,
        "after": draft.after,
        "reason": storable(draft.reason),
        "actor": storable(draft.actor),
    }


def _record(row: Row[Any]) -> EventRecord:
    return EventRecord(
        seq=row.seq,
        id=row.id,
        time=row.time.astimezone(UTC),
        type=row.type,
        source=row.source,
        target=Target(type=row.target_type, id=row.target_id, name=row.target_name),
        tenant=row.tenant,
        priority=Priority(row.priority),
        row=row.row,
        gone=row.gone,
        note=row.note,
        before=row.before,
        after=row.after,
        reason=row.reason,
        actor=row.actor,
    )
