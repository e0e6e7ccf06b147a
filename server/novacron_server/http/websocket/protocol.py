"""A WebSocket connection that detects a client which stopped reading, and can close without waiting for it.

Writing does not reveal a peer that stopped reading: TCP buffers hold minutes of events. So a ping follows the events
on the same connection, at most one at a time, and RFC 6455 requires every client to answer it. A missing pong counts
as a stall only while no bytes are acknowledged: over a slow connection, the peer's kernel still takes bytes.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import termios
from collections.abc import Callable
from typing import Any

import structlog
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode

_log = structlog.get_logger("access")
SCOPE_KEY = "novacron.line"
SEND_BUFFER_BYTES = 128 * 1024
"""The kernel's send buffer per client (Linux doubles it): enough for a fast client, and bounded for a dead one."""
CLOSE_BUFFER_BYTES = 1024 * 1024
_BYTES_ACKED = 120
"""Where `tcpi_bytes_acked` is in struct tcp_info. Source: linux/tcp.h, the same since Linux 4.1."""
MAX_BUFFERED_BYTES = 1024 * 1024
"""What may wait in our buffer for one client. Data waits for room in it; answers to pings do not."""
FRAMES_PER_MINUTE = 300
"""Pings, unrequested pongs and continuations that a client may send; the limit of messages is the inbox's."""
_WINDOW_S = 60.0
_INVALID_DATA, _POLICY_VIOLATION = 1007, 1008
LINGER_S = 2.0
"""How long a close frame may wait for room in the kernel's buffer before the connection is aborted without it."""


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol with stall detection. The event stream finds it in the ASGI scope.

    `on_lost` is called when the connection is closed.
    """

    on_lost: Callable[[], None] | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._ping_payload: bytes | None = None
        self._progress_at = self.loop.time()
        self._acked = self._ping_offset = 0
        self._frames_left, self._window_began = FRAMES_PER_MINUTE, self.loop.time()
        _set_send_buffer(transport, SEND_BUFFER_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.on_lost is not None:
            self.on_lost()

    def shutdown(self) -> None:
        """Close at the end of the server, without waiting for a client that does not read."""
        super().shutdown()
        self.loop.call_later(LINGER_S, self.transport.abort)

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions[SCOPE_KEY] = self

    def handle_pong(self, event: Frame) -> None:
        self._progress_at = self.loop.time()
        if self._ping_payload is not None and bytes(event.data) == self._ping_payload:
            self._ping_payload = None
        elif self._count():
            super().handle_pong(event)

    def handle_ping(self) -> None:
        if self._count():
            super().handle_ping()
        if self.transport.get_write_buffer_size() > MAX_BUFFERED_BYTES:  # it sends pings and reads no answers
            self.transport.abort()

    def handle_cont(self, event: Frame) -> None:
        if self._count():
            super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        """Pass on a whole message. Text that is not UTF-8 closes the connection (RFC 6455, 8.1)."""
        if self.curr_msg_data_type == "text":
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.frames = []
                self._refuse(_INVALID_DATA, "a text frame is not UTF-8")
                return
        super().send_receive_event_to_app()

    async def send(self, message: Any) -> None:
        """Like uvicorn's, but data that comes after the close is dropped without a traceback."""
        await self.writable.wait()
        if self.handshake_complete and (self.close_sent or self.disconnected):
            if message["type"] == "websocket.send":
                raise ClientDisconnected
            return  # it is closed already
        await super().send(message)

    def _count(self) -> bool:
        """Count a frame that is no message. False when the client sends too many, and is closed."""
        now = self.loop.time()
        if now - self._window_began >= _WINDOW_S:
            self._window_began, self._frames_left = now, FRAMES_PER_MINUTE
        self._frames_left -= 1
        if self._frames_left < 0:
            self._refuse(_POLICY_VIOLATION, "too many frames that are no messages")
        return self._frames_left >= 0

    def _refuse(self, code: int, reason: str) -> None:
        if not (self.close_sent or self.disconnected or self.transport.is_closing()):
            address = self.client[0] if self.client else ""
            _log.info("socket closed", code=code, reason=reason, address=address)
        self.hang_up(code)

    @property
    def free(self) -> bool:
        """Whether a frame written now is sent immediately: the connection is open and its buffer is not full."""
        return (
            self.handshake_complete
            and self.writable.is_set()
            and not (self.close_sent or self.disconnected or self.transport.is_closing())
        )

    def put(self, frames: bytes) -> None:
        """Send complete frames (see `framed`), bypassing uvicorn, which would encode them again for each client."""
        self.transport.write(frames)

    def ask(self) -> None:
        """Send a ping after the frames written so far, unless one is unanswered."""
        if self._ping_payload is not None or self.close_sent or self.disconnected or self.transport.is_closing():
            return
        self._ping_payload = b"novacron" + os.urandom(4)
        self.conn.send_ping(self._ping_payload)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self._progress_at, self._acked = self.loop.time(), self._acked_bytes()
        self._ping_offset = self._acked + self._unacked_bytes()

    def stalled_s(self) -> float:
        """Seconds without progress while a pong is due; 0.0 when none is."""
        if self._ping_payload is None or self.disconnected:
            return 0.0
        acked = min(self._acked_bytes(), self._ping_offset)  # bytes acknowledged behind the ping are no progress
        if acked > self._acked:
            self._progress_at = self.loop.time()
        self._acked = acked
        return self.loop.time() - self._progress_at

    def hang_up(self, code: int) -> None:
        """Close without waiting for a peer that may never read again; the close frame follows the frames already sent.

        The kernel's buffer is enlarged to take all of them, and delivers them should the peer read again. Data that does
        not fit within LINGER_S is dropped with the connection.
        """
        if self.close_sent or self.disconnected or self.transport.is_closing():
            return
        self.stop_keepalive()
        _set_send_buffer(self.transport, CLOSE_BUFFER_BYTES)
        self.conn.send_close(code)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code})
        self.transport.close()
        self.loop.call_later(LINGER_S, self.transport.abort)

    def _acked_bytes(self) -> int:
        """Bytes that the peer's kernel has acknowledged since the connection began; 0 where that is unavailable."""
        try:
            info = self.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
        except (OSError, AttributeError):
            return 0  # closed in the meantime, or not TCP
        return int(struct.unpack_from("Q", info, _BYTES_ACKED)[0]) if len(info) >= _BYTES_ACKED + 8 else 0

    def _unacked_bytes(self) -> int:
        """Bytes not yet acknowledged, in our buffer and in the kernel's."""
        buffered = self.transport.get_write_buffer_size()
        try:
            descriptor = self.transport.get_extra_info("socket").fileno()
            answer = fcntl.ioctl(descriptor, termios.TIOCOUTQ, struct.pack("i", 0))
        except (OSError, AttributeError):
            return buffered
        return int(buffered + struct.unpack("i", answer)[0])


def _set_send_buffer(transport: Any, size_bytes: int) -> None:
    kernel = transport.get_extra_info("socket")
    if kernel is not None and kernel.family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
        kernel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size_bytes)


def framed(text: bytes) -> bytes:
    """A WebSocket text frame. Servers send unmasked frames, so the same bytes suit all clients (RFC 6455, 5.1)."""
    return Frame(Opcode.TEXT, text).serialize(mask=False)


def protocol_of(scope: Any) -> WebSocketProtocol | None:
    """The protocol behind an ASGI scope; None on another server, such as a test client."""
    protocol = scope.get("extensions", {}).get(SCOPE_KEY)
    return protocol if isinstance(protocol, WebSocketProtocol) else None
