"""A whole server in this process: real PostgreSQL, libvirt's test driver, real HTTP on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import libvirt
import pytest
import pytest_asyncio

from novacron_core.api import access
from novacron_core.client import Client
from novacron_server.runtime.settings import Settings
from tests.support.accounts import PASSWORD
from tests.support.database_budget import PATIENT_S
from tests.support.server import LiveServer, all_hosts_read, running, simulated_host
from tests.support.waiting import until


@pytest_asyncio.fixture
async def spine(owner_url: str, database_url: str, data_dir: Path, uri: str) -> AsyncIterator[LiveServer]:
    settings = Settings(data_dir=data_dir, sign_ins_per_minute=1000, database_budget_s=PATIENT_S)
    async with running(settings, owner_url, database_url, [uri]) as (url, parts), Client(url) as admin:
        token = (data_dir / "setup-token").read_text().strip()
        await admin.call(access.REGISTER, body=access.Register(username="ann", password=PASSWORD, setup_token=token))
        await admin.sign_in("ann", PASSWORD)
        await until(lambda: all_hosts_read(parts))
        yield LiveServer(url, parts, admin, data_dir)


@pytest.fixture
def behind(spine: LiveServer) -> libvirt.virConnect:
    """The simulated host, for changes that the server did not make."""
    return simulated_host(spine)
