"""What all tests of the server share: one embedded PostgreSQL for the run, and a fresh migrated database per test."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio

from novacron_server.database.embedded import cluster
from novacron_server.database.embedded.postgres import EmbeddedPostgres
from novacron_server.database.migrate import migrate
from novacron_server.database.transactions import Database

_count = itertools.count(1)
TEMPLATE = "novacron_template"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres(server_room: Path) -> AsyncIterator[EmbeddedPostgres]:
    """PostgreSQL for the whole run, without fsync, with a migrated template database."""
    server = EmbeddedPostgres(server_room / "pg", server_room / "r", durable=False)
    async with server:
        await migrate(server.owner_url, server.app_url)
        await _admin(server, f"CREATE DATABASE {TEMPLATE} TEMPLATE {cluster.DATABASE} OWNER {cluster.OWNER}")
        yield server


@pytest_asyncio.fixture
async def owner_url(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    """A fresh migrated database, as its owner: for what the application role may not do."""
    name = f"t{os.getpid()}_{next(_count)}"
    await _admin(postgres, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} OWNER {cluster.OWNER} STRATEGY FILE_COPY")
    yield _renamed(postgres.owner_url, name)
    await _admin(postgres, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def database_url(postgres: EmbeddedPostgres, owner_url: str) -> str:
    """The same database as the application role."""
    return _renamed(postgres.app_url, owner_url.split("?")[0].rsplit("/", 1)[1])


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A fresh migrated database, through the engine that the server uses."""
    made = Database(database_url, kind="embedded")
    yield made
    await made.close()


async def _admin(server: EmbeddedPostgres, statement: str) -> None:
    url = _renamed(server.superuser_url, "postgres")
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        await conn.execute(statement)


def _renamed(url: str, database: str) -> str:
    return url.replace(f"@/{cluster.DATABASE}?", f"@/{database}?")
