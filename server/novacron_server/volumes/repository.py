"""The SQL of volumes."""

from __future__ import annotations

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from novacron_server.database.tables import volumes as t
from novacron_server.inventory.rows import VolumeRow


async def all_rows(connection: AsyncConnection) -> list[VolumeRow]:
    return [_row(row) for row in await connection.execute(select(t))]


async def add(connection: AsyncConnection, row: VolumeRow) -> None:
    values = {field: getattr(row, field) for field in row.__struct_fields__}
    await connection.execute(insert(t).values(values))


async def of_vm(connection: AsyncConnection, host_id: str, vm_id: str) -> list[VolumeRow]:
    """The volumes that were made for a VM."""
    query = select(t).where(t.c.host_id == host_id, t.c.vm_id == vm_id)
    return [_row(row) for row in await connection.execute(query)]


async def remove(connection: AsyncConnection, volume_id: str) -> None:
    await connection.execute(delete(t).where(t.c.id == volume_id))


async def release(connection: AsyncConnection, host_id: str, vm_id: str) -> None:
    """Its VM is gone, the volumes stay."""
    await connection.execute(update(t).where(t.c.host_id == host_id, t.c.vm_id == vm_id).values(vm_id=None))


def _row(row: Row[tuple[object, ...]]) -> VolumeRow:
    return VolumeRow(
        id=str(row.id),
        host_id=str(row.host_id),
        pool=row.pool,
        name=row.name,
        tenant=row.tenant,
        owner=row.owner,
        tier=row.tier,
        vm_id=str(row.vm_id) if row.vm_id else None,
        created_at=row.created_at,
    )
