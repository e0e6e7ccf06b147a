"""The SQL of pools that are assigned to a tier."""

from __future__ import annotations

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from novacron_server.database.rows import as_struct, read_each, values
from novacron_server.database.tables import pools as t
from novacron_server.inventory.rows import PoolRow


async def all_rows(connection: AsyncConnection) -> list[PoolRow]:
    return read_each(await connection.execute(select(t)), lambda row: as_struct(row, PoolRow))


async def put(connection: AsyncConnection, row: PoolRow) -> None:
    """Insert the row, or update the existing one."""
    new = insert(t).values(values(row))
    changed = {"name": new.excluded.name, "tier": new.excluded.tier}
    await connection.execute(new.on_conflict_do_update(index_elements=[t.c.host_id, t.c.uuid], set_=changed))


async def remove(connection: AsyncConnection, host_id: str, uuid: str) -> None:
    await connection.execute(delete(t).where(t.c.host_id == host_id, t.c.uuid == uuid))
