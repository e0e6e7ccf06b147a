"""The first seconds of a server: a listener gets hosts only after their first read, and waits for none that hangs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from novacron_core.api import access
from novacron_core.client import Client
from novacron_server.inventory import host_sync, inventory
from novacron_server.runtime.settings import Settings
from tests.support.accounts import PASSWORD
from tests.support.database_budget import LONG_BUDGET_S
from tests.support.server import running


async def first_inventory(url: str, data_dir: Any) -> dict[str, Any]:
    """Connect as soon as the server accepts it, and return the first inventory."""
    async with Client(url) as admin:
        token = (data_dir / "setup-token").read_text().strip()
        await admin.call(access.REGISTER, body=access.Register(username="ann", password=PASSWORD, setup_token=token))
        await admin.sign_in("ann", PASSWORD)
        headers = {"Authorization": f"Bearer {admin.credentials.token}"}
        address = url.replace("http", "ws") + "/ws/events/v1"
        async with connect(address, additional_headers=headers) as socket, asyncio.timeout(20):
            assert json.loads(await socket.recv())["frame"] == "hello"
            frame: dict[str, Any] = json.loads(await socket.recv())
            return frame


async def test_listener_waits_for_the_first_read_of_a_slow_host(
    owner_url: str, database_url: str, data_dir: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_all = host_sync.HostSync._read_all

    async def slowly(self: host_sync.HostSync) -> None:
        await asyncio.sleep(1.5)
        await read_all(self)

    monkeypatch.setattr(host_sync.HostSync, "_read_all", slowly)
    monkeypatch.setattr(inventory, "FIRST_READ_TIMEOUT_S", 30.0)
    settings = Settings(data_dir=data_dir, database_budget_s=LONG_BUDGET_S)
    async with running(settings, owner_url, database_url, [uri]) as (url, _):
        first = await first_inventory(url, data_dir)
    assert [vm["name"] for vm in first["vms"]] == ["test"]


async def test_hanging_host_delays_the_first_inventory_only_briefly(
    owner_url: str, database_url: str, data_dir: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(self: host_sync.HostSync) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(host_sync.HostSync, "_read_all", never)
    monkeypatch.setattr(inventory, "FIRST_READ_TIMEOUT_S", 0.3)
    settings = Settings(data_dir=data_dir, database_budget_s=LONG_BUDGET_S)
    async with running(settings, owner_url, database_url, [uri]) as (url, _):
        assert "vms" not in await first_inventory(url, data_dir)
