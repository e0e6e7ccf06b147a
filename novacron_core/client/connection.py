"""The client side of a WebSocket that detects a dead peer: a cut cable, a server that hangs.

TCP alone may not report this for minutes. When nothing is received for a while, a ping is sent (RFC 6455 requires every
server to answer it); when still nothing is received, the connection is closed. Any received byte counts, not only whole
frames: on a slow connection a large frame takes long, and the pong is queued behind it.
"""

from __future__ import annotations

import asyncio
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

PING_AFTER_S = 4.0
GIVE_UP_AFTER_S = 8.0
"""Seconds without received data. An operator must see within ten seconds that the data shown is stale."""


class WatchedConnection(ClientConnection):
    """A connection that records when it last received data."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.received_at = asyncio.get_running_loop().time()
        self.timed_out = False

    def data_received(self, data: bytes) -> None:
        self.received_at = asyncio.get_running_loop().time()
        super().data_received(data)

    async def watch(self) -> None:
        """Ping a silent peer, then abort the connection: `recv` raises ConnectionClosed. Runs until the connection
        ends."""
        pinged_at = 0.0
        while True:
            now = asyncio.get_running_loop().time()
            silent_s = now - self.received_at
            if silent_s >= GIVE_UP_AFTER_S:
                self.timed_out = True
                self.transport.abort()
                return
            unanswered = pinged_at > self.received_at
            if silent_s >= PING_AFTER_S and not unanswered:
                pinged_at, unanswered = now, True
                try:
                    await self.ping()
                except ConnectionClosed:
                    return
            await asyncio.sleep((GIVE_UP_AFTER_S if unanswered else PING_AFTER_S) - silent_s)
