"""Limits of a tenant, and volumes whose sizes count."""

from __future__ import annotations

from typing import Any

import psycopg

from novacron_core.api import quotas, volumes
from novacron_core.api.base import ListQuery
from novacron_core.api.volumes import Volume, VolumeCreate
from tests.support.requests import succeeded
from tests.support.server import LiveServer

MIB = 1 << 20


async def limit(owner_url: str, **limits: object) -> None:
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as owner:
        for column, value in limits.items():
            text = psycopg.sql.SQL("UPDATE tenants SET {} = %s").format(psycopg.sql.Identifier(column))
            await owner.execute(text, (value,))


async def shown(server: LiveServer) -> quotas.Quota:
    return await server.admin.call(quotas.GET)


async def volume_named(server: LiveServer, name: str) -> Volume:
    page = await server.admin.call(volumes.LIST, query=ListQuery(page_size=1000))
    return next(volume for volume in page.items if volume.name == name)


async def made_volume(server: LiveServer, name: str, size_bytes: int = 8 * MIB, **more: Any) -> Volume:
    body = VolumeCreate(name=name, size_bytes=size_bytes, **more)
    await succeeded(server, await server.admin.call(volumes.CREATE, body=body))
    return await volume_named(server, name)
