"""What a client sends on a WebSocket, within its limits."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Literal

from litestar import WebSocket
from litestar.exceptions import WebSocketDisconnect

Socket = WebSocket[Any, Any, Any]
Kind = Literal["text", "binary"]
Mode = Literal["text", "binary", "both"]
_WINDOW_S = 60.0
POLICY_VIOLATION = 1008
TOO_BIG = 1009
UNSUPPORTED_DATA = 1003


@dataclass(frozen=True, slots=True)
class InboxLimits:
    """Messages per minute, and the size of one in bytes."""

    messages_per_minute: int = 300
    max_bytes: int = 8 * 1024


class Exceeded(Exception):
    """The client broke a limit, or sent the wrong kind of frame; the socket is closed with `code`."""

    def __init__(self, code: int) -> None:
        super().__init__(f"close code {code}")
        self.code = code


class Inbox:
    """Receives text frames, binary frames, or both."""

    def __init__(self, socket: Socket, limits: InboxLimits, mode: Mode = "text") -> None:
        self._socket = socket
        self._limits = limits
        self._mode = mode
        self._left = limits.messages_per_minute
        self._window_began = asyncio.get_running_loop().time()

    async def receive(self) -> bytes:
        """The next message. Raises Exceeded, and WebSocketDisconnect when the client has gone."""
        return (await self.receive_kind())[1]

    async def receive_kind(self) -> tuple[Kind, bytes]:
        """The next message and whether it is text or binary. Raises what `receive` raises."""
        event: Any = await self._socket.receive()
        if event["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(detail="the client disconnected", code=event.get("code", 1005))
        now = asyncio.get_running_loop().time()
        if now - self._window_began >= _WINDOW_S:
            self._window_began, self._left = now, self._limits.messages_per_minute
        self._left -= 1
        if self._left < 0:
            raise Exceeded(POLICY_VIOLATION)
        text, data = event.get("text"), event.get("bytes")
        kind: Kind = "binary" if text is None else "text"
        message: bytes | None = data if text is None else text.encode()
        if message is None or self._mode not in (kind, "both"):
            raise Exceeded(UNSUPPORTED_DATA)
        if len(message) > self._limits.max_bytes:
            raise Exceeded(TOO_BIG)
        return kind, message
