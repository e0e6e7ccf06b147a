"""The access service on a fresh database, with cheap hashing, without or with an administrator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from novacron_server.access.attempts import Attempts
from novacron_server.access.passwords import Passwords
from novacron_server.access.service import Access
from novacron_server.database.transactions import Database
from tests.support.access import AccessUnderTest, OpenAccess
from tests.support.database_budget import LONG_BUDGET_S


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """With a long budget: these tests are not about it, and send fifty requests at once."""
    made = Database(database_url, kind="embedded", budget_s=LONG_BUDGET_S)
    yield made
    await made.close()


@pytest.fixture
def open_access(database: Database, data_dir: Path) -> OpenAccess:
    """Opens the access service of a server; several may share the database."""

    @asynccontextmanager
    async def open_one(
        name: str = "a", *, start: bool = True, open_registration: bool = False, sign_ins_per_minute: int = 60
    ) -> AsyncIterator[AccessUnderTest]:
        folder = data_dir / name
        folder.mkdir(exist_ok=True)
        passwords, attempts = Passwords(memory_kib=1024), Attempts(sign_ins_per_minute)
        wakes: list[int] = []
        ended: list[str] = []
        access = Access(
            database,
            folder,
            lambda: wakes.append(1),
            open_registration=open_registration,
            attempts=attempts,
            passwords=passwords,
            on_session_end=ended.append,
        )
        opened = AccessUnderTest(database, access, folder, passwords, attempts, wakes, ended)
        watching = None
        if start:
            await access.start()
            watching = asyncio.create_task(access.watch())
        yield opened
        if watching is not None:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        await access.close()

    return open_one


@pytest.fixture
async def fresh_access(open_access: OpenAccess) -> AsyncIterator[AccessUnderTest]:
    async with open_access() as made:
        yield made


@pytest.fixture
async def ready_access(fresh_access: AccessUnderTest) -> AccessUnderTest:
    """The access service with the administrator `ada`."""
    await fresh_access.register_first()
    return fresh_access
