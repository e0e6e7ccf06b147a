"""The SQL of decisions about moves."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from novacron_core.api.automatic import StorageDecision
from novacron_core.api.base import Time
from novacron_core.values.tiers import TIERS
from novacron_server.database.heat_tables import storage_decisions as t
from novacron_server.database.rows import as_struct, read_each, values
from novacron_server.database.tables import tenants

MOVING, MOVED, FAILED, STOPPED, CANCELLED, HELD = "moving", "moved", "failed", "stopped", "cancelled", "held"
"""The results of a decision."""
_FIRST = ("id", "at", "host", "volume", "tenant", "source", "target")
_TENANT = select(tenants.c.id).where(tenants.c.id == bindparam("of_tenant")).scalar_subquery()
_INSERT = insert(t).values(tenant=_TENANT)
"""The tenant may have been deleted since it was decided."""
_WRITE = _INSERT.on_conflict_do_update(
    index_elements=[t.c.id],
    set_={column.name: _INSERT.excluded[column.name] for column in t.c if column.name not in _FIRST},
)


class Decided(StorageDecision, frozen=True, kw_only=True):
    """A decision with the tenant of its volume, at that time."""

    tenant: str | None = None


async def write(connection: AsyncConnection, decided: Sequence[Decided]) -> None:
    """Store decisions, new ones and changed ones."""
    if decided:
        rows = [values(each) for each in decided]
        await connection.execute(_WRITE, [{**row, "of_tenant": row.pop("tenant")} for row in rows])


async def moving(connection: AsyncConnection) -> list[Decided]:
    """The moves that were under way when they were last stored."""
    return read_each(await connection.execute(select(t).where(t.c.result == MOVING).order_by(t.c.at)), _decided)


async def ended_since(connection: AsyncConnection, since: Time) -> list[Decided]:
    """The moves that ended since then, oldest first."""
    ended = t.c.result.in_((MOVED, FAILED, STOPPED, CANCELLED))
    query = select(t).where(ended, t.c.last_at >= since).order_by(t.c.last_at, t.c.id)
    return read_each(await connection.execute(query), _decided)


async def page(
    connection: AsyncConnection,
    tenant: str | None,
    words: Collection[str],
    offset: int,
    limit: int,
    volumes: Collection[str] | None = None,
    *,
    reasons: bool,
) -> tuple[list[Decided], int]:
    """(One page, the total number), newest first, of a tenant (None: of all), and of these volumes (None: of all). Each of
    `words` must be in the volume's name, the tiers, the result, its cause or, with `reasons`, its reason."""
    where: list[Any] = [] if tenant is None else [t.c.tenant == tenant]
    if volumes is not None:
        where.append(t.c.volume.in_(volumes))
    texts = (t.c.name, t.c.source, t.c.target, t.c.result, t.c.cause, *((t.c.reason,) if reasons else ()))
    where += [or_(*(column.icontains(word, autoescape=True) for column in texts)) for word in words]
    total = (await connection.execute(select(func.count()).select_from(t).where(*where))).scalar_one()
    query = select(t).where(*where).order_by(t.c.last_at.desc(), t.c.id).offset(offset).limit(limit)
    return read_each(await connection.execute(query), _decided), total


async def drop_before(connection: AsyncConnection, moment: datetime) -> int:
    """Delete the decisions that were last made before `moment`. Returns their number."""
    return (await connection.execute(delete(t).where(t.c.last_at < moment, t.c.result != MOVING))).rowcount


def _decided(row: Any) -> Decided:
    """Raises ValueError for a row between tiers that there are not: it counts as none."""
    found = as_struct(row, Decided)
    if found.source == found.target or not {found.source, found.target} <= set(TIERS):
        raise ValueError("no pair of tiers")
    return found
