"""The SQL of volumes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from novacron_server.database.rows import as_struct, read_each, values
from novacron_server.database.tables import hosts
from novacron_server.database.tables import volumes as t
from novacron_server.inventory.rows import VolumeRow


async def all_rows(connection: AsyncConnection) -> list[VolumeRow]:
    return read_each(await connection.execute(select(t)), lambda row: as_struct(row, VolumeRow))


async def last_facts(connection: AsyncConnection) -> list[tuple[str, str, dict[str, Any], datetime | None]]:
    """(volume id, host id, facts, when the host was read last) of the volumes whose facts were stored."""
    columns = (t.c.id, t.c.host_id, t.c.last_facts, hosts.c.read_at)
    query = select(*columns).join(hosts, hosts.c.id == t.c.host_id).where(t.c.last_facts.is_not(None))
    return [(str(row[0]), str(row[1]), row[2], row[3]) for row in await connection.execute(query)]


async def write_last_facts(connection: AsyncConnection, facts_by_id: Mapping[str, dict[str, Any]]) -> None:
    """Store the last facts of volumes, by their ids."""
    if facts_by_id:
        parameters = [{"its_id": volume_id, "facts": facts} for volume_id, facts in facts_by_id.items()]
        change = update(t).where(t.c.id == bindparam("its_id")).values(last_facts=bindparam("facts"))
        await connection.execute(change, parameters)


async def add(connection: AsyncConnection, row: VolumeRow) -> None:
    await connection.execute(insert(t), values(row))


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


async def change(connection: AsyncConnection, volume_id: str, **columns: str | None) -> VolumeRow | None:
    """Change columns. Returns the new row, None if there is none. Raises Conflict when its pool and name are taken."""
    row = (await connection.execute(update(t).where(t.c.id == volume_id).values(columns).returning(t))).first()
    return as_struct(row, VolumeRow) if row else None
