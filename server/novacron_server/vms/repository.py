"""The SQL of VMs."""

from __future__ import annotations

from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from novacron_core import errors
from novacron_server.database.rows import as_struct, values
from novacron_server.database.tables import vms as t
from novacron_server.inventory.rows import VMRow


class NameTaken(errors.Conflict):
    """A VM of `tenant` already has the name."""

    tenant: str | None = None


async def all_rows(connection: AsyncConnection) -> list[VMRow]:
    return [as_struct(row, VMRow) for row in await connection.execute(select(t))]


async def add(connection: AsyncConnection, row: VMRow) -> None:
    """Insert a VM. Raises NameTaken when its name is taken on its host by another row."""
    lock = func.pg_advisory_xact_lock(func.hashtextextended(f"vm-name/{row.host_id}/{row.name}", 0))
    await connection.execute(select(lock))
    by = (await connection.execute(select(t.c.tenant).where(t.c.host_id == row.host_id, t.c.name == row.name))).first()
    if by:
        taken = NameTaken(f"a VM named {row.name} already exists")
        taken.tenant = by.tenant
        raise taken
    await connection.execute(insert(t), values(row))


async def get(connection: AsyncConnection, host_id: str, vm_id: str) -> VMRow | None:
    row = (await connection.execute(select(t).where(t.c.host_id == host_id, t.c.id == vm_id))).first()
    return as_struct(row, VMRow) if row else None


async def remove(connection: AsyncConnection, host_id: str, vm_id: str) -> None:
    await connection.execute(delete(t).where(t.c.host_id == host_id, t.c.id == vm_id))
