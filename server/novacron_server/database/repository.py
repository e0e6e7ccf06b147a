"""The SQL of the installation's settings, and of its identity, which the first migration creates."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from novacron_server.database.tables import settings


async def instance(conn: AsyncConnection) -> UUID:
    """The permanent identity of this installation, the same for all its servers."""
    return UUID(str(await setting(conn, "instance")))


async def setting(conn: AsyncConnection, key: str) -> Any:
    """The JSON value stored under a key; None when there is none."""
    return (await conn.execute(select(settings.c.value).where(settings.c.key == key))).scalar_one_or_none()


async def store_setting(conn: AsyncConnection, key: str, value: Any) -> None:
    """Store a JSON value under a key, replacing an earlier one."""
    row = insert(settings).values(key=key, value=value)
    await conn.execute(row.on_conflict_do_update(index_elements=[settings.c.key], set_={"value": row.excluded.value}))
