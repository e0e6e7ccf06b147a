"""The WebSocket's line to one client: whether it still reads, and an end for one that does not.

A full TCP buffer is not noticed by writing, and a peer that stopped reading has room for minutes of events. So a ping
follows what was sent, at most one at a time: RFC 6455 makes every client answer it, and it is behind the events in
the same line. Silence counts as a stall only while nothing moves: on a slow line the peer's kernel still takes bytes.
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
"""Of the kernel, for each client (Linux doubles it): enough for a fast line, and bounded for a dead one."""
GOODBYE_BUFFER_BYTES = 1024 * 1024
_BYTES_ACKED = 120
"""Where `tcpi_bytes_acked` is in struct tcp_info. Source: linux/tcp.h, the same since Linux 4.1."""
LINGER_S = 2.0
"""How long a close frame may wait for its way into the kernel before the connection is cut without it."""


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol, which also knows how its peer is doing. The stream finds it in its scope."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._asked: bytes | None = None
        self._moved_at = self.loop.time()
        self._taken = self._behind = 0
        _set_send_buffer(transport, SEND_BUFFER_BYTES)

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions[SCOPE_KEY] = self

    def handle_pong(self, event: Frame) -> None:
        self._moved_at = self.loop.time()
        if self._asked is not None and bytes(event.data) == self._asked:
            self._asked = None
        else:
            super().handle_pong(event)

    @property
    def free(self) -> bool:
        """Whether what is put on it now leaves at once: it is open, and nothing waits for the peer."""
        return (
            self.handshake_complete
            and self.writable.is_set()
            and not (self.close_sent or self.disconnected or self.transport.is_closing())
        )

    def put(self, frames: bytes) -> None:
        """Send whole frames as they are (see `framed`), past uvicorn's own way, which would make them for each peer."""
        self.transport.write(frames)

    def ask(self) -> None:
        """Send a ping behind what was sent, unless one is under way."""
        if self._asked is not None or self.close_sent or self.disconnected or self.transport.is_closing():
            return
        self._asked = b"novacron" + os.urandom(4)
        self.conn.send_ping(self._asked)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self._moved_at, self._taken = self.loop.time(), self._taken_bytes()
        self._behind = self._taken + self._waiting_bytes()

    def stalled_s(self) -> float:
        """For how many seconds nothing has moved although an answer is due; 0.0 when none is."""
        if self._asked is None or self.disconnected:
            return 0.0
        taken = min(self._taken_bytes(), self._behind)  # what is taken after the question is no answer to it
        if taken > self._taken:
            self._moved_at = self.loop.time()
        self._taken = taken
        return self.loop.time() - self._moved_at

    def hang_up(self, code: int) -> None:
        """Close without waiting for a peer that may never read again: the close frame goes behind what is under way.

        The kernel is given room for all of it and delivers it should the peer wake up; what does not fit after
        LINGER_S is dropped with the connection.
        """
        if self.close_sent or self.disconnected or self.transport.is_closing():
            return
        self.stop_keepalive()
        _set_send_buffer(self.transport, GOODBYE_BUFFER_BYTES)
        self.conn.send_close(code)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code})
        self.transport.close()
        self.loop.call_later(LINGER_S, self.transport.abort)

    def _taken_bytes(self) -> int:
        """Bytes that the peer's kernel has acknowledged since the beginning; 0 where that cannot be asked."""
        try:
            info = self.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
        except (OSError, AttributeError):
            return 0  # it was closed meanwhile, or is no TCP
        return int(struct.unpack_from("Q", info, _BYTES_ACKED)[0]) if len(info) >= _BYTES_ACKED + 8 else 0

    def _waiting_bytes(self) -> int:
        """Bytes that are still to be acknowledged: in our buffer and in the kernel's."""
        ours = self.transport.get_write_buffer_size()
        try:
            number = self.transport.get_extra_info("socket").fileno()
            answer = fcntl.ioctl(number, termios.TIOCOUTQ, struct.pack("i", 0))
        except (OSError, AttributeError):
            return ours
        return int(ours + struct.unpack("i", answer)[0])


def _set_send_buffer(transport: Any, size_bytes: int) -> None:
    kernel = transport.get_extra_info("socket")
    if kernel is not None and kernel.family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
        kernel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size_bytes)


def framed(text: bytes) -> bytes:
    """A WebSocket text frame. What a server sends is not masked, so the same bytes go to everybody (RFC 6455, 5.1)."""
    return Frame(Opcode.TEXT, text).serialize(mask=False)


def protocol_of(scope: Any) -> WebSocketProtocol | None:
    """The line under a socket, None on a server that is not ours (a test client)."""
    line = scope.get("extensions", {}).get(SCOPE_KEY)
    return line if isinstance(line, WebSocketProtocol) else None
