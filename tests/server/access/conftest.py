"""An Access over a fresh database, with cheap hashing, and an administrator in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from novacron_server.access.passwords import Passwords
from novacron_server.access.service import Access
from novacron_server.database.transactions import Database
from tests.support.access import AccessUnderTest, OpenAccess


@pytest.fixture
def open_door(database: Database, data_dir: Path) -> OpenAccess:
    """Another server on the same database, started; more than one may stand open."""

    @asynccontextmanager
    async def at(
        room: str = "a", *, start: bool = True, open_registration: bool = False
    ) -> AsyncIterator[AccessUnderTest]:
        place = data_dir / room
        place.mkdir(exist_ok=True)
        passwords = Passwords(memory_kib=1024)

        rings: list[int] = []
        ended: list[str] = []
        access = Access(
            database,
            place,
            lambda: rings.append(1),
            open_registration=open_registration,
            passwords=passwords,
            on_session_end=ended.append,
        )
        opened = AccessUnderTest(access, place, passwords, rings, ended)
        watching = None
        if start:
            await access.start()
            watching = asyncio.create_task(access.watch())
        yield opened
        if watching is not None:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        await access.close()

    return at


@pytest.fixture
async def door(open_door: OpenAccess) -> AsyncIterator[AccessUnderTest]:
    async with open_door() as made:
        yield made


@pytest.fixture
async def house(door: AccessUnderTest) -> AccessUnderTest:
    """With its administrator `ada`."""
    await door.first()
    return door
