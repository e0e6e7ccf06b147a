"""A whole server on a libvirtd of its own, with volumes that hold known bytes, and VMs that have them as disks."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.support.libvirtd import require_private_libvirtd
from tests.support.storage import StorageServer, open_storage_server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shed() -> AsyncIterator[StorageServer]:
    """One for all tests of a file: a libvirtd needs seconds to look at its QEMU. Names are each test's own."""
    require_private_libvirtd()
    async with open_storage_server() as made:
        yield made
