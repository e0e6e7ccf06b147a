"""A server with its own PostgreSQL in this process, and what can be done to the database's processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from websockets.asyncio.client import ClientConnection, connect

from novacron_core.api import access
from novacron_core.api.hosts import HostStatus
from novacron_core.client import Client
from novacron_server.database.embedded.postgres import EmbeddedPostgres
from novacron_server.runtime.settings import Settings
from tests.fair_clock import fair_now
from tests.server.spine.conftest import PASSWORD, Spine, running, until

__all__ = ["House", "Stream", "open_house", "until"]


class House(Spine):
    """A spine with its database's supervisor."""

    postgres: EmbeddedPostgres

    def hang_database(self) -> None:
        """Every process of PostgreSQL stops answering; its sockets stay open."""
        for process in self._database_processes():
            process.send_signal(signal.SIGSTOP)

    def wake_database(self) -> None:
        for process in self._database_processes():
            process.send_signal(signal.SIGCONT)

    def kill_database(self) -> None:
        assert self.postgres.pid is not None
        os.kill(self.postgres.pid, signal.SIGKILL)

    def _database_processes(self) -> list[psutil.Process]:
        postmaster = psutil.Process(self.postgres.pid)
        return [postmaster, *postmaster.children(recursive=True)]

    async def database_away(self, away: bool, timeout_s: float = 15) -> float:
        """Wait until the server knows it; how many seconds that took."""
        began = fair_now()

        async def known() -> bool | None:
            return True if (self.parts.hub.database_away_since is not None) is away else None

        await until(known, timeout_s)
        return fair_now() - began


@asynccontextmanager
async def open_house(data_dir: Path, hypervisors: list[str], **more: Any) -> AsyncIterator[House]:
    """Serve, with `more` settings, until the end of the block, with the first administrator signed in and every host read once."""
    async with EmbeddedPostgres(data_dir, data_dir / "r", durable=False) as postgres:
        settings = Settings(data_dir=data_dir, sign_ins_per_minute=1000, requests_per_minute=10**6, **more)
        async with (
            running(settings, postgres.owner_url, postgres.app_url, hypervisors) as (url, parts),
            Client(url) as admin,
        ):
            token = (data_dir / "setup-token").read_text().strip()
            await admin.call(
                access.REGISTER, body=access.Register(username="ann", password=PASSWORD, setup_token=token)
            )
            await admin.sign_in("ann", PASSWORD)
            house = House(url, parts, admin, data_dir)
            house.postgres = postgres
            await until(lambda: _up(house))
            try:
                yield house
            finally:
                with suppress(psutil.NoSuchProcess):
                    house.wake_database()


async def _up(house: House) -> bool | None:
    views = house.parts.inventory.state.views.values()
    return True if views and all(view.status is HostStatus.UP for view in views) else None


class Stream:
    """The event stream as raw frames, each kept with the time it came."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.frames: list[dict[str, Any]] = []

    async def until(self, wanted: Callable[[dict[str, Any]], bool], timeout_s: float = 15) -> dict[str, Any]:
        """The first frame from here on that is wanted."""
        deadline = fair_now() + timeout_s
        while True:
            async with asyncio.timeout(max(0.01, deadline - fair_now())):
                frame = json.loads(await self.socket.recv())
            self.frames.append(frame)
            if wanted(frame):
                return frame

    async def event(self, kind: str, timeout_s: float = 15) -> dict[str, Any]:
        return await self.until(lambda f: f["frame"] == "event" and f["type"] == kind, timeout_s)


@asynccontextmanager
async def open_stream(spine: Spine, query: str = "", token: str = "") -> AsyncIterator[Stream]:
    """A socket of the administrator, read up to its opening frames' end when it starts from an inventory."""
    address = spine.url.replace("http", "ws") + "/ws/events/v1" + query
    headers = {"Authorization": f"Bearer {token or spine.admin.credentials.token}"}
    async with connect(address, additional_headers=headers, compression=None, max_size=None) as socket:
        stream = Stream(socket)
        await stream.until(lambda f: f["frame"] == "hello")
        if not query:
            await stream.until(lambda f: f["frame"] == "inventory" and f["last"])
        yield stream
