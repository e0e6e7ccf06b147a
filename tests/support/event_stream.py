"""The event stream as raw frames."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from novacron_core.client import Client
from tests.support.fair_clock import fair_now
from tests.support.server import LiveServer


class Stream:
    """An open event stream that keeps its raw frames."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.frames: list[dict[str, Any]] = []

    async def until(self, wanted: Callable[[dict[str, Any]], bool], timeout_s: float = 15) -> dict[str, Any]:
        """Read until a frame matches, and return it."""
        deadline = fair_now() + timeout_s
        while True:
            async with asyncio.timeout(max(0.01, deadline - fair_now())):
                frame: dict[str, Any] = json.loads(await self.socket.recv())
            self.frames.append(frame)
            if wanted(frame):
                return frame

    async def event(self, kind: str, timeout_s: float = 15) -> dict[str, Any]:
        return await self.until(lambda f: f["frame"] == "event" and f["type"] == kind, timeout_s)


@asynccontextmanager
async def open_stream(server: LiveServer, query: str = "", token: str = "") -> AsyncIterator[Stream]:
    """Open a stream as the administrator. Without a query, the inventory is read first."""
    address = server.url.replace("http", "ws") + "/ws/events/v1" + query
    headers = {"Authorization": f"Bearer {token or server.admin.credentials.token}"}
    async with connect(address, additional_headers=headers, compression=None, max_size=None) as socket:
        stream = Stream(socket)
        await stream.until(lambda f: f["frame"] == "hello")
        if not query:
            await stream.until(lambda f: f["frame"] == "inventory" and f["last"])
        yield stream


def address(server: LiveServer, query: str = "") -> str:
    return server.url.replace("http", "ws") + "/ws/events/v1" + query


def open_with(client: Client, server: LiveServer, query: str = "", **more: Any) -> connect:
    headers = {"Authorization": f"Bearer {client.credentials.token}"}
    return connect(address(server, query), additional_headers=headers, compression=None, **more)


async def frame(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(10):
        received: dict[str, Any] = json.loads(await socket.recv())
        return received


async def until_frame(socket: ClientConnection, wanted: Any) -> dict[str, Any]:
    while True:
        received = await frame(socket)
        if wanted(received):
            return received
