"""A second tenant, and its members."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg

from novacron_core.api import access
from novacron_core.client import Client
from novacron_core.values.roles import Role
from tests.support.accounts import PASSWORD
from tests.support.server import LiveServer


async def add_tenant(owner_url: str, tenant: str) -> None:
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as owner:
        await owner.execute("INSERT INTO tenants (id, name) VALUES (%s, %s)", (tenant, tenant))


async def put_into(owner_url: str, username: str, tenant: str, role: Role) -> None:
    """Make an account a member of this tenant alone."""
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as owner:
        found = await owner.execute("UPDATE users SET tenant = %s WHERE username = %s RETURNING id", (tenant, username))
        row = await found.fetchone()
        assert row is not None
        await owner.execute("DELETE FROM memberships WHERE user_id = %s", row)
        await owner.execute("INSERT INTO memberships VALUES (%s, %s, %s)", (*row, tenant, str(role)))


async def member_of(server: LiveServer, owner_url: str, username: str, tenant: str, role: Role) -> Client:
    """A new account in a tenant, signed in."""
    await server.admin.call(access.REGISTER, body=access.Register(username=username, password=PASSWORD))
    await put_into(owner_url, username, tenant, role)
    client = Client(server.url)
    await client.sign_in(username, PASSWORD)
    return client


@asynccontextmanager
async def members_of(server: LiveServer, owner_url: str, *people: tuple[str, str, Role]) -> AsyncIterator[list[Client]]:
    """New accounts, each (name, tenant, role), signed in until the end of the block."""
    clients = [await member_of(server, owner_url, name, tenant, role) for name, tenant, role in people]
    yield clients
    for client in clients:
        await client.close()
