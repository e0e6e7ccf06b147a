"""The HTTP protocol of every connection, with bounds on what a stranger can make the server hold before sign-in.

uvicorn's own protocol takes headers of any number and length, waits for them without end, and counts nothing.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_address
from secrets import token_hex
from typing import Any, Protocol

import msgspec
import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from novacron_core import errors
from novacron_server.http.middleware import SECURITY_HEADERS
from novacron_server.http.problems import MEDIA_TYPE
from novacron_server.http.websocket.protocol import WebSocketProtocol

MAX_HEAD_BYTES = 64 * 1024
"""Request line and headers together. Nginx takes 32 KiB, Apache 8 KiB a line."""
MAX_HEADERS = 100
MAX_URL_BYTES = 8 * 1024
_SLICE = 16 * 1024
_LINGER_S = 1.0
"""How long what a refused client still sends is read and thrown away."""
SMALL_BODY_BYTES = 1024 * 1024
_PART_BYTES = 64 * 1024
_REASONS = {400: "Bad Request", 408: "Request Timeout", 414: "URI Too Long", 431: "Request Header Fields Too Large"}
_log = structlog.get_logger("access")


class Connection(Protocol):
    """A connection that is counted: in its TLS handshake, or in HTTP."""

    @property
    def transport(self) -> Any: ...


class _Waiting:
    """Connections that wait for their client, oldest first, by address and over all addresses."""

    def __init__(self) -> None:
        self._all: OrderedDict[Connection, str] = OrderedDict()
        self._by_address: dict[str, OrderedDict[Connection, None]] = {}

    def add(self, protocol: Connection, address: str) -> int:
        """Add it as the newest. Returns how many of its address wait."""
        self._all[protocol] = address
        waiting = self._by_address.setdefault(address, OrderedDict())
        waiting[protocol] = None
        return len(waiting)

    def discard(self, protocol: Connection) -> None:
        if (address := self._all.pop(protocol, None)) is not None:
            waiting = self._by_address[address]
            del waiting[protocol]
            if not waiting:
                del self._by_address[address]

    def pop_oldest(self, address: str | None = None) -> Connection | None:
        """Take out the oldest one of an address, or of all."""
        oldest = next(iter(self._all if address is None else self._by_address.get(address, ())), None)
        if oldest is not None:
            self.discard(oldest)
        return oldest


@dataclass
class Connections:
    """The open connections of a server, and bounds on those that wait for their client.

    `per_address` may wait for their first request head, and `idle_per_address` for a further one; then the oldest of
    that address is closed. A connection whose request is being served, and a WebSocket, do not count. `total` are open at
    most: then one that waits is closed for a new one, so that descriptors are left for the database and libvirt.
    """

    per_address: int = 100
    idle_per_address: int = 200
    total: int = 10_000
    head_s: float = 10.0
    """Seconds for a complete head, and between requests."""
    body_s: float = 30.0
    """Seconds for a body of at most SMALL_BODY_BYTES, for each further 64 KiB, and for the rest of a body that was
    answered before its end."""
    peers: tuple[IPv4Network | IPv6Network, ...] = ()
    """The networks that connections may come from; empty for any. Behind a proxy, only it may speak plain HTTP to us."""
    _open: set[Connection] = field(default_factory=set)
    _unfinished: _Waiting = field(default_factory=_Waiting)
    _idle: _Waiting = field(default_factory=_Waiting)

    @property
    def open_count(self) -> int:
        return len(self._open)

    def admits(self, address: str) -> bool:
        """Whether a connection may come from this address. A refusal is logged."""
        if not self.peers or _is_in(address, self.peers):
            return True
        _log.warning("connection refused: it does not come from the proxy", address=address)
        return False

    def begin(self, protocol: Connection, address: str) -> None:
        """A new connection waits for a TLS handshake or for a head."""
        if len(self._open) >= self.total:
            waiting = self._unfinished.pop_oldest() or self._idle.pop_oldest()
            (waiting or protocol).transport.abort()
            if waiting is None:
                return
        self._open.add(protocol)
        if self._unfinished.add(protocol, address) > self.per_address:
            self._close_oldest(self._unfinished, address)

    def rest(self, protocol: Connection, address: str) -> None:
        """It has been answered, and waits for another request."""
        if protocol in self._open and self._idle.add(protocol, address) > self.idle_per_address:
            self._close_oldest(self._idle, address)

    def serve(self, protocol: Connection) -> None:
        """Its head is complete."""
        self._unfinished.discard(protocol)
        self._idle.discard(protocol)

    def end(self, protocol: Connection) -> None:
        """It is closed."""
        self.serve(protocol)
        self._open.discard(protocol)

    def _close_oldest(self, waiting: _Waiting, address: str) -> None:
        if (oldest := waiting.pop_oldest(address)) is not None:
            oldest.transport.abort()


def _is_in(address: str, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)


class BoundedHttpProtocol(HttpToolsProtocol):
    """Refuses a head that is too large (431, or 414 for the URL) and one or a small body that takes too long."""

    def __init__(self, limits: Connections, handshake: Connection | None = None, **arguments: Any) -> None:
        """`handshake` is what was counted for the connection until its TLS handshake was complete."""
        super().__init__(**arguments)
        self._limits = limits
        self._handshake = handshake
        self._address = ""
        self._in_head, self._in_body = True, False
        self._head_bytes = self._body_bytes = self._next_part = 0
        self._large = False
        self._due = 0
        """How many requests are to be answered before a refusal may be written."""
        self._refused = 0
        self._deadline: float | None = None
        """On the loop's clock."""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._address = self.client[0] if self.client else ""
        if not self._limits.admits(self._address):
            transport.abort()
            return
        if self._handshake is not None:
            self._limits.end(self._handshake)
        self._limits.begin(self, self._address)
        self._set_deadline(self._limits.head_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._limits.end(self)
        self._set_deadline(None)
        self._stop_timer()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Close at the end of the server: at once, or once the request that is being served is answered."""
        super().shutdown()
        if self.transport.is_closing():
            self.loop.call_later(_LINGER_S, self.transport.abort)

    def data_received(self, data: bytes) -> None:
        """Feed the parser in slices, so that a head is refused at its bound, not at the end of a large read."""
        at = 0
        while at < len(data) and not self._refused:
            size = min(_SLICE, MAX_HEAD_BYTES - self._head_bytes + 1) if self._in_head else SMALL_BODY_BYTES
            piece = data[at : at + size]
            at += len(piece)
            if self._in_head:
                self._head_bytes += len(piece)
                if self._head_bytes > MAX_HEAD_BYTES:
                    self._refuse(431)
                    return
            super().data_received(piece)
            if self.transport.is_closing():
                return
            if (socket := self.transport.get_protocol()) is not self:  # a WebSocket from now on
                self._set_deadline(None)
                if isinstance(socket, WebSocketProtocol):
                    socket.on_lost = partial(self._limits.end, self)
                return

    # -- callbacks of the parser -----------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head_bytes = True, max(1, self._head_bytes)
        self._set_deadline(self._limits.head_s)

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > MAX_URL_BYTES:
            self._refused = 414
            raise ValueError("URL too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        if len(self.headers) > MAX_HEADERS:
            self._refused = 431
            raise ValueError("too many headers")

    def on_headers_complete(self) -> None:
        hosts = sum(1 for name, _ in self.headers if name == b"host")
        if hosts > 1 or (not hosts and self.parser.get_http_version() != "1.0"):
            raise ValueError("one Host header is required")  # RFC 9112, 3.2
        self._in_head, self._head_bytes = False, 0
        self._in_body, self._body_bytes, self._next_part = True, 0, 0
        self._limits.serve(self)
        length = next((value for name, value in self.headers if name == b"content-length"), b"0")
        self._large = not length.isdigit() or int(length[:12]) > SMALL_BODY_BYTES
        self._set_deadline(self._limits.body_s)
        before = self.cycle
        super().on_headers_complete()
        self._due += self.cycle is not before

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._body_bytes += len(body)
        # A large body has time for each part of it, as long as somebody reads it.
        if self._due and (self._large or self._body_bytes > SMALL_BODY_BYTES) and self._body_bytes >= self._next_part:
            self._next_part = self._body_bytes + _PART_BYTES
            self._set_deadline(self._limits.body_s)

    def on_message_complete(self) -> None:
        self._in_body = False
        self._set_deadline(None if self._due else self._limits.head_s)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._due -= 1
        if self.transport.is_closing() or self._due:
            return
        if self._refused:
            self._write_refusal()
            return
        if self._in_body:  # the rest of it is nobody's
            self._set_deadline(self._limits.body_s)
        elif self._deadline is None:  # uvicorn's own timer ends with any byte, also with one that starts no request
            self._set_deadline(self._limits.head_s)
        self._limits.rest(self, self._address)

    # -- refusals --------------------------------------------------------------------------------------------------

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn for what its parser refuses, and for what the callbacks above refuse."""
        self._refuse(self._refused or 400)

    def _set_deadline(self, seconds: float | None) -> None:
        """A request moves the deadline several times, so a timer that is due before it stays, and is then set anew."""
        self._deadline = None if seconds is None else self.loop.time() + seconds
        if self._deadline is not None and (self._timer is None or self._timer.when() > self._deadline):
            self._stop_timer()
            self._timer = self.loop.call_at(self._deadline, self._check_deadline)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check_deadline(self) -> None:
        self._timer = None
        if self._deadline is None:
            return
        if self._deadline > self.loop.time():
            self._timer = self.loop.call_at(self._deadline, self._check_deadline)
        else:
            self._deadline = None
            self._expire()

    def _expire(self) -> None:
        """The head or the body did not come in time, or the next request."""
        if self._in_body and self.flow.read_paused:
            self._set_deadline(self._limits.body_s)  # not the client is slow, but we are
        elif self._in_body:
            self.transport.abort()
        elif self._in_head and self._head_bytes:
            self._refuse(408)
        else:
            self.transport.close()  # nothing was asked, so nothing is answered

    def _refuse(self, status: int) -> None:
        """Refuse what the client sends now, after the answers to the requests before it."""
        if self.transport.is_closing():
            return
        self._refused = status
        self._set_deadline(None)
        if self._in_body and not self.cycle.response_complete:
            self._drop_request()
        if not self._due and not self.transport.is_closing():
            self._write_refusal()

    def _drop_request(self) -> None:
        """End the request whose body is refused: its application reads that the client has gone."""
        if self.cycle.response_started:
            self.transport.close()
        elif self.pipeline:
            self.pipeline.popleft()
        self.cycle.disconnected = True
        self.cycle.message_event.set()
        self._due -= 1

    def _write_refusal(self) -> None:
        """Answer with a problem document, like every other refusal, and close."""
        request_id = token_hex(8)
        status = self._refused
        problem = errors.InvalidArgument(_DETAIL[status]).problem(request_id)
        problem = msgspec.structs.replace(problem, status=status, title=_REASONS[status])
        body = msgspec.json.encode(problem)
        headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
            (b"x-request-id", request_id.encode()),
            *SECURITY_HEADERS,
        ]
        head = f"HTTP/1.1 {status} {_REASONS[status]}\r\n".encode()
        self.transport.write(
            head + b"".join(name + b": " + value + b"\r\n" for name, value in headers) + b"\r\n" + body
        )
        # Closing while the client still sends would reset the connection, and the client would not see the answer.
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._stop_timer()
        self._timer = self.loop.call_later(_LINGER_S, self.transport.abort)
        _log.info("request", status=status, ms=0.0, method="", path="", address=self._address, request_id=request_id)


_DETAIL = {
    400: "This is not a valid HTTP request",
    408: "The request did not arrive in time",
    414: f"The URL is longer than {MAX_URL_BYTES} bytes",
    431: f"The request has more than {MAX_HEADERS} headers, or more than {MAX_HEAD_BYTES // 1024} KiB of them",
}
