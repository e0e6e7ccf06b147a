"""The SQL of hosts."""

from __future__ import annotations

from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from novacron_server.database.tables import hosts as t
from novacron_server.inventory.rows import HostRow


async def get_or_create(connection: AsyncConnection, uri: str) -> HostRow:
    """The row of this URI, inserted if it is new: a host keeps its id as long as its URI stays the same."""
    await connection.execute(insert(t).values(id=uuid4(), uri=uri, name=uri).on_conflict_do_nothing())
    row = (await connection.execute(select(t).where(t.c.uri == uri))).one()
    return HostRow(id=str(row.id), uri=row.uri, name=row.name)
