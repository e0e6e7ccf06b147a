"""The SQL of the simulated fleet."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from novacron_server.database.rows import values
from novacron_server.database.tables import vms as vms_table
from novacron_server.database.tables import volumes as volumes_table
from novacron_server.inventory.rows import VMRow, VolumeRow


async def add_all(connection: AsyncConnection, vms: Sequence[VMRow], volumes: Sequence[VolumeRow]) -> None:
    """Insert the rows of new VMs and of their volumes."""
    if vms:
        await connection.execute(insert(vms_table), [values(row) for row in vms])
    if volumes:
        await connection.execute(insert(volumes_table), [values(row) for row in volumes])
