"""A server that ends closes every connection itself, and waits for no client that does not read."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from novacron_core.client import Client
from novacron_server.runtime.server import HttpServer
from novacron_server.runtime.settings import Settings
from tests.support.accounts import administrator
from tests.support.database_budget import LONG_BUDGET_S
from tests.support.event_stream import open_with
from tests.support.server import LiveServer, running
from tests.support.waiting import until


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "Cancel" in record.getMessage()]


async def test_console_that_does_not_read_is_closed_without_a_complaint(
    owner_url: str, database_url: str, data_dir: Path, uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(data_dir=data_dir, sign_ins_per_minute=1000, database_budget_s=LONG_BUDGET_S)
    async with running(settings, owner_url, database_url, [uri]) as (url, parts):
        token = await administrator(url, data_dir)
        admin = Client(url)
        admin.credentials.token = token
        server = LiveServer(url, parts, admin, data_dir)
        socket = await open_with(admin, server, max_size=None)
        await socket.recv()
        socket.transport.pause_reading()

        async def listening() -> Any:
            return next(iter(parts.hub._listeners), None)

        listener = await until(listening)
        connection = listener._connection
        connection.put(b"\x81\x7d" + b"x" * 20_000_000)
        assert connection.transport.get_write_buffer_size() > 1_000_000
    assert complaints(caplog) == []
    socket.transport.abort()
    await admin.close()


class Lifespan:
    async def shutdown(self) -> None:
        return


async def test_connection_that_comes_while_the_server_ends_is_closed(caplog: pytest.LogCaptureFixture) -> None:
    server = HttpServer(uvicorn.Config("none", timeout_graceful_shutdown=5, log_config=None))
    server.servers = []
    server.lifespan = Lifespan()
    connections: set[Any] = server.server_state.connections
    asked: list[str] = []

    class Late:
        def shutdown(self) -> None:
            asked.append("shutdown")
            connections.discard(self)

    ending = asyncio.create_task(server.shutdown())
    await asyncio.sleep(0)
    connections.add(Late())
    await ending
    assert asked == ["shutdown"]
    assert complaints(caplog) == []
