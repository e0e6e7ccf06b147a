"""The SQL of the outbox. The numbers come from one counter row, so they are contiguous and rise in commit order."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from novacron_core.api.events import Priority
from novacron_core.api.operations import Target
from novacron_server.database.tables import event_counter as counter
from novacron_server.database.tables import events as t
from novacron_server.outbox.records import EventDraft, EventRecord


async def append(conn: AsyncConnection, drafts: Sequence[EventDraft]) -> list[int]:
    """Write events, LAST in a transaction; their numbers.

    The counter's row stays locked until the commit, and PostgreSQL shows a transaction's rows before it lets go of
    its locks: whoever gets the next number comes later, and a rollback gives its numbers back. So the lock is what
    promise G7 stands on, and what is done after this call is done while every other writer waits.
    """
    if not drafts:
        return []
    take = update(counter).values(last=counter.c.last + len(drafts)).returning(counter.c.last)
    last = (await conn.execute(take)).scalar_one()
    numbers = list(range(last - len(drafts) + 1, last + 1))
    now = datetime.now(UTC)
    await conn.execute(insert(t), [_values(seq, draft, now) for seq, draft in zip(numbers, drafts, strict=True)])
    return numbers


async def wait_for_open_transactions(conn: AsyncConnection) -> None:
    """Wait for every transaction that has taken numbers, one whose COMMIT nobody heard the end of among them: what is
    read after this in the same transaction is what came of it."""
    await conn.execute(select(counter.c.last).with_for_update())


async def last_seq(conn: AsyncConnection) -> int:
    """The newest committed number, 0 before the first. Read in the transaction that reads the rows it belongs to,
    which wants REPEATABLE READ or a fold that does no harm twice."""
    return int((await conn.execute(select(counter.c.last))).scalar_one())


async def first_seq(conn: AsyncConnection) -> int | None:
    """The oldest number still held, None when nothing is."""
    found = (await conn.execute(select(func.min(t.c.seq)))).scalar_one()
    return None if found is None else int(found)


async def read_after(conn: AsyncConnection, after: int, limit: int = 1000) -> list[EventRecord]:
    """The events that follow a number, in order."""
    rows = await conn.execute(select(t).where(t.c.seq > after).order_by(t.c.seq).limit(limit))
    return [_record(row) for row in rows]


async def prune(conn: AsyncConnection, older_than: datetime) -> int:
    """Forget events of before a time, but none of the last hour; how many. The one way to delete an event."""
    return int((await conn.execute(select(func.prune_events(older_than)))).scalar_one())


def _values(seq: int, draft: EventDraft, now: datetime) -> dict[str, Any]:
    return {
        "seq": seq,
        "id": str(uuid.uuid4()),
        "type": draft.type,
        "source": _storable(draft.source),
        "target_type": draft.target.type,
        "target_id": _storable(draft.target.id),
        "target_name": _storable(draft.target.name),
        "tenant": draft.tenant,
        "priority": str(draft.priority),
        "time": now,
        "row": draft.row,
        "gone": draft.gone,
        "note": _storable(draft.note),
    }


def _storable(text: str) -> str:
    """Text from outside as PostgreSQL can hold it: no NUL, no half of a surrogate pair."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


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
    )
