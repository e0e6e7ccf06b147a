"""A whole server with its own PostgreSQL, and hosts that tests may stop, hang and kill."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import libvirt
import pytest
import pytest_asyncio

from tests.support.server import ServerWithDatabase, open_server, simulated_host


@pytest_asyncio.fixture
async def server(data_dir: Path, uri: str) -> AsyncIterator[ServerWithDatabase]:
    """A server on a simulated host, with its own PostgreSQL."""
    async with open_server(data_dir, [uri]) as server:
        yield server


@pytest.fixture
def libvirt_connection(server: ServerWithDatabase) -> libvirt.virConnect:
    """The simulated host, for changes outside NovaCron."""
    return simulated_host(server)
