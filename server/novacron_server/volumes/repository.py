"""The SQL of volumes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import BigInteger, Text, cast, column, delete, func, insert, or_, select, update
from sqlalchemy import values as values_of
from sqlalchemy.ext.asyncio import AsyncConnection

from novacron_server.database.rows import as_struct, read_each, values
from novacron_server.database.tables import operations as o
from novacron_server.database.tables import volumes as t
from novacron_server.inventory.rows import VolumeRow

_INSERT = insert(t)


async def all_rows(connection: AsyncConnection) -> list[VolumeRow]:
    return read_each(await connection.execute(select(t)), lambda row: as_struct(row, VolumeRow))


async def add(connection: AsyncConnection, row: VolumeRow) -> None:
    await connection.execute(_INSERT, values(row))


async def remove_stale(connection: AsyncConnection, row: VolumeRow | None) -> bool:
    """Delete the row of a removed volume, so that a new one can have its name. False if the row has changed."""
    if row is None:
        return True
    unchanged = (t.c.id == row.id, t.c.pool == row.pool, t.c.name == row.name)
    return (await connection.execute(delete(t).where(*unchanged).returning(t.c.id))).first() is not None


async def of_vm(connection: AsyncConnection, host_id: str, vm_id: str) -> list[VolumeRow]:
    """The volumes that were created for a VM or attached to it."""
    query = select(t).where(t.c.host_id == host_id, t.c.vm_id == vm_id)
    return [as_struct(row, VolumeRow) for row in await connection.execute(query)]


async def remove(connection: AsyncConnection, volume_id: str) -> None:
    await connection.execute(delete(t).where(t.c.id == volume_id))


async def clear_vm(connection: AsyncConnection, host_id: str, vm_id: str) -> None:
    """Clear the VM of its volumes, because the VM is deleted and the volumes stay."""
    await connection.execute(update(t).where(t.c.host_id == host_id, t.c.vm_id == vm_id).values(vm_id=None))


async def get(connection: AsyncConnection, volume_id: str) -> VolumeRow | None:
    row = (await connection.execute(select(t).where(t.c.id == volume_id))).first()
    return as_struct(row, VolumeRow) if row else None


async def write_sizes(connection: AsyncConnection, sizes: Mapping[str, int]) -> None:
    """Store the sizes of volumes, by id, besides those that an operation is working on."""
    new = values_of(column("id", t.c.id.type), column("size", BigInteger), name="new").data(list(sizes.items()))
    own_id = cast(t.c.id, Text)
    lock = func.jsonb_build_array(func.jsonb_build_object("type", "volume", "id", own_id))
    busy = select(o.c.id).where(
        o.c.state.in_(("pending", "running")), or_(o.c.target_id == own_id, o.c.locks.contains(lock))
    )
    changed = update(t).where(t.c.id == new.c.id, t.c.size_bytes != new.c.size, ~busy.exists())
    await connection.execute(changed.values(size_bytes=new.c.size))


async def change(
    connection: AsyncConnection, volume_id: str, **columns: str | int | bool | datetime | None
) -> VolumeRow | None:
    """Change columns. Returns the new row, None if there is none. Raises Conflict when its pool and name are taken."""
    row = (await connection.execute(update(t).where(t.c.id == volume_id).values(columns).returning(t))).first()
    return as_struct(row, VolumeRow) if row else None


async def set_owner(
    connection: AsyncConnection, volume_id: str, to: tuple[str, str], *, before: tuple[str, str] | None = None
) -> VolumeRow | None:
    """Change whose a volume is, given as (tenant, owner). Returns its new row, None if it has none or is not `before`'s."""
    same = (t.c.tenant == before[0], t.c.owner == before[1]) if before else ()
    query = update(t).where(t.c.id == volume_id, *same).values(tenant=to[0], owner=to[1]).returning(t)
    row = (await connection.execute(query)).first()
    return as_struct(row, VolumeRow) if row else None


async def replace_owner(connection: AsyncConnection, old: str, new: str) -> list[VolumeRow]:
    """Give all volumes of an owner another one. Returns their new rows."""
    rows = await connection.execute(update(t).where(t.c.owner == old).values(owner=new).returning(t))
    return [as_struct(row, VolumeRow) for row in rows]
