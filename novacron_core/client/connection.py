"""The client's end of a WebSocket, which notices a peer that is no longer there: a cut cable, a server that hangs.

TCP alone would say nothing for minutes. So a line on which nothing comes is asked (RFC 6455 makes every server answer a
ping), and one on which still nothing comes is given up. Bytes count, not whole frames: on a slow line a large frame
takes long, and the answer stands behind it.
"""

from __future__ import annotations

import asyncio
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

ASK_AFTER_S = 4.0
GIVE_UP_AFTER_S = 8.0
"""Of silence. An operator sees within ten seconds that what he looks at is old."""


class WatchedConnection(ClientConnection):
    """A connection that knows when it last heard anything."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.heard_at = asyncio.get_running_loop().time()
        self.given_up = False

    def data_received(self, data: bytes) -> None:
        self.heard_at = asyncio.get_running_loop().time()
        super().data_received(data)

    async def watch(self) -> None:
        """Ask and, in the end, cut the line: `recv` then raises ConnectionClosed. Runs for as long as the line lasts."""
        asked_at = 0.0
        while True:
            now = asyncio.get_running_loop().time()
            silent_s = now - self.heard_at
            if silent_s >= GIVE_UP_AFTER_S:
                self.given_up = True
                self.transport.abort()
                return
            unanswered = asked_at > self.heard_at
            if silent_s >= ASK_AFTER_S and not unanswered:
                asked_at, unanswered = now, True
                try:
                    await self.ping()
                except ConnectionClosed:
                    return
            await asyncio.sleep((GIVE_UP_AFTER_S if unanswered else ASK_AFTER_S) - silent_s)
