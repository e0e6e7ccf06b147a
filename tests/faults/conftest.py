"""A whole server on a PostgreSQL of its own, and hosts that may be stopped, hung and killed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import libvirt
import pytest
import pytest_asyncio

from tests.faults.house import House, open_house
from tests.server.conftest import data_dir, server_room
from tests.server.hypervisor.conftest import PrivateLibvirtd, libvirtd_named, work_folder
from tests.server.spine.conftest import NODE, image

__all__ = ["PrivateLibvirtd", "data_dir", "image", "libvirtd_named", "server_room", "work_folder"]


@pytest.fixture
def uri(data_dir: Path) -> str:
    """A simulated host of this test's own."""
    node = data_dir / "node.xml"
    node.write_text(NODE)
    return f"test://{node}"


@pytest_asyncio.fixture
async def house(data_dir: Path, uri: str) -> AsyncIterator[House]:
    """A server on a simulated host, whose PostgreSQL is nobody else's."""
    async with open_house(data_dir, [uri]) as house:
        yield house


@pytest.fixture
def behind(house: House) -> libvirt.virConnect:
    """What somebody else does to the simulated host. (It lives in one connection: the server's.)"""
    return next(iter(house.parts.inventory._syncs.values())).host._supervisor.require().first.connection
