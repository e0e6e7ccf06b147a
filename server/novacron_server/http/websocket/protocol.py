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
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode

SCOPE_KEY = "novacron.line"
SEND_BUFFER_BYTES = 128 * 1024
"""The kernel's send buffer per client (Linux doubles it): enough for a fast client, and bounded for a dead one."""
CLOSE_BUFFER_BYTES = 1024 * 1024
_BYTES_ACKED = 120
"""Where `tcpi_bytes_acked` is in struct tcp_info. Source: linux/tcp.h, the same since Linux 4.1."""
LINGER_S = 2.0
"""How long a close frame may wait for room in the kernel's buffer before the connection is aborted without it."""


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol with stall detection. The event stream finds it in the ASGI scope."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._ping_payload: bytes | None = None
        self._progress_at = self.loop.time()
        self._acked = self._ping_offset = 0
        _set_send_buffer(transport, SEND_BUFFER_BYTES)

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions[SCOPE_KEY] = self

    def handle_pong(self, event: Frame) -> None:
        self._progress_at = self.loop.time()
        if self._ping_payload is not None and bytes(event.data) == self._ping_payload:
            self._ping_payload = None
        else:
            super().handle_pong(event)

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
