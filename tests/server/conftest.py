"""Fixtures of all server tests: one embedded PostgreSQL for the run, a fresh database per test, whole servers."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import libvirt
import psycopg
import pytest
import pytest_asyncio

from novacron_core.api import access
from novacron_core.client import Client
from novacron_server.access import passwords
from novacron_server.database.embedded import cluster
from novacron_server.database.embedded.postgres import EmbeddedPostgres
from novacron_server.database.migrate import migrate
from novacron_server.database.transactions import Database
from novacron_server.runtime.settings import Settings
from tests.support.accounts import PASSWORD
from tests.support.database_budget import LONG_BUDGET_S
from tests.support.libvirtd import require_private_libvirtd
from tests.support.node_files import NODE
from tests.support.server import LiveServer, all_hosts_read, running, simulated_host
from tests.support.storage import StorageServer, open_storage_server
from tests.support.waiting import until

passwords.MEMORY_KIB = 1024  # half of a server's start in a test was the hashing of its first password
_count = itertools.count(1)
TEMPLATE = "novacron_template"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres(shared_dir: Path) -> AsyncIterator[EmbeddedPostgres]:
    """PostgreSQL for the whole run, without fsync, with a migrated template database."""
    server = EmbeddedPostgres(shared_dir / "pg", shared_dir / "r", durable=False)
    async with server:
        await migrate(server.owner_url, server.app_url)
        await _admin(server, f"CREATE DATABASE {TEMPLATE} TEMPLATE {cluster.DATABASE} OWNER {cluster.OWNER}")
        yield server


@pytest_asyncio.fixture
async def owner_url(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    """A fresh migrated database, as its owner, for changes that the application role may not make."""
    async with _fresh_database(postgres) as url:
        yield url


@asynccontextmanager
async def _fresh_database(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    name = f"t{os.getpid()}_{next(_count)}"
    await _admin(postgres, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} OWNER {cluster.OWNER} STRATEGY FILE_COPY")
    yield _renamed(postgres.owner_url, name)
    await _admin(postgres, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def database_url(postgres: EmbeddedPostgres, owner_url: str) -> str:
    """The same database, as the application role."""
    return _as_application(postgres, owner_url)


def _as_application(postgres: EmbeddedPostgres, owner_url: str) -> str:
    return _renamed(postgres.app_url, owner_url.split("?")[0].rsplit("/", 1)[1])


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A fresh migrated database, through the engine that the server uses."""
    made = Database(database_url, kind="embedded")
    yield made
    await made.close()


@pytest_asyncio.fixture
async def server(owner_url: str, database_url: str, data_dir: Path, uri: str) -> AsyncIterator[LiveServer]:
    async with _simulated_server(owner_url, database_url, data_dir, uri) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_server(postgres: EmbeddedPostgres, shared_dir: Path) -> AsyncIterator[LiveServer]:
    """One for all tests of a file whose requests change nothing, because a server needs half a second to start."""
    data_dir = shared_dir / f"shared{next(_count)}"
    data_dir.mkdir(mode=0o711)
    node = data_dir / "node.xml"
    node.write_text(NODE)
    async with (
        _fresh_database(postgres) as owner_url,
        _simulated_server(owner_url, _as_application(postgres, owner_url), data_dir, f"test://{node}") as opened,
    ):
        yield opened


@asynccontextmanager
async def _simulated_server(owner_url: str, database_url: str, data_dir: Path, uri: str) -> AsyncIterator[LiveServer]:
    """A server on libvirt's test driver, with the administrator ann."""
    settings = Settings(
        data_dir=data_dir,
        sign_ins_per_minute=1000,
        requests_per_minute=100_000,
        sockets_per_minute=100_000,
        database_budget_s=LONG_BUDGET_S,
    )
    async with running(settings, owner_url, database_url, [uri]) as (url, parts), Client(url) as admin:
        token = (data_dir / "setup-token").read_text().strip()
        await admin.call(access.REGISTER, body=access.Register(username="ann", password=PASSWORD, setup_token=token))
        await admin.sign_in("ann", PASSWORD)
        await until(lambda: all_hosts_read(parts))
        yield LiveServer(url, parts, admin, data_dir, owner_url=owner_url)


@pytest.fixture
def libvirt_connection(server: LiveServer) -> libvirt.virConnect:
    """The simulated host, for changes outside NovaCron."""
    return simulated_host(server)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def storage() -> AsyncIterator[StorageServer]:
    """One for all tests of a file, because a libvirtd needs seconds to probe QEMU. Each test uses its own names."""
    require_private_libvirtd()
    async with open_storage_server() as made:
        yield made


async def _admin(server: EmbeddedPostgres, statement: str) -> None:
    url = _renamed(server.superuser_url, "postgres")
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        await conn.execute(statement)


def _renamed(url: str, database: str) -> str:
    return url.replace(f"@/{cluster.DATABASE}?", f"@/{database}?")
