"""Admits clients to WebSockets, and closes a socket whose session ends or whose client stops reading.

Every socket of the server goes through here. A client authenticates by an `Authorization` header or a one-time ticket,
never by a token in the URL. An `Origin` that is present must be on the allow-list, whatever else is sent: a browser
sends it, a console does not.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

import msgspec
import structlog
from litestar.exceptions import WebSocketDisconnect
from litestar.handlers import WebsocketRouteHandler
from uvicorn.protocols.utils import ClientDisconnected

from novacron_core import errors
from novacron_core.api.base import Request
from novacron_core.api.endpoint import Endpoint
from novacron_core.api.events import CLOSE_LAGGED, CLOSE_UNAUTHENTICATED
from novacron_core.rules.visibility import Principal, why_not_permitted
from novacron_server.http import decoding
from novacron_server.http.asked import Asked, asked_of
from novacron_server.http.routing import Authenticator, address_of, bearer, litestar_path
from novacron_server.http.websocket.inbox import POLICY_VIOLATION, Exceeded, Socket
from novacron_server.http.websocket.protocol import WebSocketProtocol, protocol_of

_log = structlog.get_logger()
_CLOSE_TIMEOUT_S = 2.0
PER_SESSION = 32
"""All consoles and scripts of one profile on a machine share a session."""
STALL_S = 4.0
"""A peer that sends no pong for this long, while no data is transferred, has stopped reading. With `check_s` before and
after it, a stalled peer is disconnected within 10 seconds."""
Q = TypeVar("Q", bound=Request)
TicketRedeemer = Callable[[str], Awaitable[Principal]]


@dataclass(frozen=True, slots=True)
class Admitted(Generic[Q]):
    """A client that was admitted. `token` is empty if it authenticated with a ticket."""

    socket: Socket
    principal: Principal
    token: str
    query: Q
    path: Mapping[str, str]

    @property
    def protocol(self) -> WebSocketProtocol | None:
        """The connection below the socket; None on another server, such as a test client."""
        return protocol_of(self.socket.scope)


Serve = Callable[[Admitted[Q]], Awaitable[None]]
Check = Callable[[Admitted[Q]], None]
"""Raises NovaCronError to refuse a client."""


class WebSocketGateway:
    """One per server. `origins` are the allowed origins of web pages; sockets are checked every `check_s` seconds.

    A session may have `per_session` open sockets.
    """

    def __init__(
        self,
        authenticate: Authenticator,
        redeem_ticket: TicketRedeemer,
        *,
        origins: frozenset[str] = frozenset(),
        check_s: float = 2.0,
        per_session: int = PER_SESSION,
    ) -> None:
        self._open: Counter[str] = Counter()
        self._running: dict[str, set[asyncio.Future[int]]] = {}
        """The close codes of the open sockets, by session."""
        self._per_session = per_session
        self._authenticate = authenticate
        self._redeem_ticket = redeem_ticket
        self._origins = origins
        self._check_s = check_s

    def handler(
        self, endpoint: Endpoint[Any, Q, Any], serve: Serve[Q], check: Check[Q] = lambda _: None
    ) -> WebsocketRouteHandler:
        """The Litestar handler of a socket. `serve` gets each admitted client, whose socket is already accepted."""

        async def handle(socket: Socket) -> None:
            asked = asked_of(socket.scope)
            asked.endpoint, asked.path = endpoint, socket.path_params
            try:
                admitted = await self._admit(socket, endpoint, asked)
                check(admitted)
            except errors.NovaCronError as e:
                asked.refused = e
                await _refuse(socket, e)
                return
            session = admitted.principal.session_id
            self._open[session] += 1
            try:
                await socket.accept()
                await serve(admitted)
            finally:
                self._open[session] -= 1
                if not self._open[session]:
                    del self._open[session]

        return WebsocketRouteHandler(path=litestar_path(endpoint.path), opt={"endpoint": endpoint})(handle)

    async def _admit(self, socket: Socket, endpoint: Endpoint[Any, Q, Any], asked: Asked) -> Admitted[Q]:
        """Raises Forbidden, Unauthenticated, ValidationFailed, RateLimited."""
        origin = socket.headers.get("origin")
        if origin is not None and _origin(origin) not in self._origins:
            raise errors.Forbidden("this origin is not allowed")
        query = decoding.query(socket.query_params.multi_items(), endpoint.query)
        token = bearer(socket)
        ticket = getattr(query, "ticket", None) or ""
        address = address_of(socket)
        asked.who = principal = await (self._authenticate(token, address) if token else self._redeem_ticket(ticket))
        if why := why_not_permitted(principal, endpoint.permission):
            raise errors.Forbidden(why)
        if self._open[principal.session_id] >= self._per_session:
            raise errors.RateLimited("this session has too many open sockets")
        path = {name: str(value) for name, value in socket.path_params.items()}
        return Admitted(socket, principal, token, query, path)

    async def run(
        self,
        client: Admitted[Any],
        close_code: asyncio.Future[int],
        sent: Callable[[], int],
        work: Mapping[str, Coroutine[Any, Any, None]],
    ) -> None:
        """Run the tasks of an open socket until one ends, or `close_code` is set; then cancel them all and close.

        `sent` counts the frames that were sent, so that a client which does not read them is noticed.
        """
        session = client.principal.session_id
        running = self._running.setdefault(session, set())
        running.add(close_code)
        checks = {
            "session check": self._check_session(client, close_code),
            "connection check": self._check_connection(client.protocol, close_code, sent),
        }
        tasks = [asyncio.create_task(task, name=name) for name, task in {**work, **checks}.items()]
        try:
            waiting: set[asyncio.Future[Any]] = {*tasks, close_code}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            running.discard(close_code)
            if not running and self._running.get(session) is running:
                del self._running[session]
            for task in tasks:
                task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, Exceeded) and not close_code.done():
                    close_code.set_result(result.code)
                elif isinstance(result, Exception) and not isinstance(
                    result, WebSocketDisconnect | ClientDisconnected | Exceeded
                ):
                    _log.warning("a socket failed", exc_info=result)
        if close_code.done():
            await _close(client, close_code.result())

    def end_session(self, session_id: str) -> None:
        """Close the sockets of a session that has ended, also those that were opened with a ticket, which have no token
        that could be checked again."""
        for close_code in self._running.get(session_id, ()):
            if not close_code.done():
                close_code.set_result(CLOSE_UNAUTHENTICATED)

    async def _check_session(self, client: Admitted[Any], close_code: asyncio.Future[int]) -> None:
        """Disconnect within seconds after the session or token expires, is revoked or loses the permission."""
        expires_at = client.principal.expires_at
        while not close_code.done():
            left_s = (expires_at - datetime.now(UTC)).total_seconds()
            await asyncio.sleep(min(self._check_s, max(0.0, left_s)))
            expired = expires_at <= datetime.now(UTC)
            if (expired or (client.token and not await self._is_token_valid(client))) and not close_code.done():
                close_code.set_result(CLOSE_UNAUTHENTICATED)

    async def _is_token_valid(self, client: Admitted[Any]) -> bool:
        try:
            now = await self._authenticate(client.token, address_of(client.socket))
        except (errors.Unauthenticated, errors.Forbidden):
            return False
        except errors.NovaCronError:
            return True  # unknown while the database is unavailable: the token itself has not expired
        return now.audience == client.principal.audience

    async def _check_connection(
        self, connection: WebSocketProtocol | None, close_code: asyncio.Future[int], sent: Callable[[], int]
    ) -> None:
        """Disconnect a peer that does not read: it is suspended, hangs, or has lost its network."""
        pinged_at = 0
        while connection is not None and not close_code.done():
            await asyncio.sleep(self._check_s)
            if connection.stalled_s() > STALL_S and not close_code.done():
                close_code.set_result(CLOSE_LAGGED)
            elif sent() > pinged_at:
                pinged_at = sent()
                connection.ask()
        await asyncio.shield(close_code)


async def _refuse(socket: Socket, error: errors.NovaCronError) -> None:
    """Answer the handshake. Who is not signed in gets the bare 403 of a socket that is closed before it is accepted: to
    every client that means to renew its token. Others are told why."""
    answers = "websocket.http.response" in (socket.scope.get("extensions") or {})
    if isinstance(error, errors.Unauthenticated) or not answers:
        await socket.close(code=POLICY_VIOLATION, reason=error.code)
        return
    body = msgspec.json.encode(error.problem())
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    send: Any = socket.send
    await send({"type": "websocket.http.response.start", "status": error.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


async def _close(client: Admitted[Any], code: int) -> None:
    """Close the socket, with a timeout: a stalled peer does not read the close frame."""
    if client.protocol is not None and code == CLOSE_LAGGED:
        client.protocol.hang_up(code)
        return
    with contextlib.suppress(TimeoutError, RuntimeError, WebSocketDisconnect):
        async with asyncio.timeout(_CLOSE_TIMEOUT_S):
            await client.socket.close(code=code)


def _origin(value: str) -> str:
    parts = urlsplit(value)
    return f"{parts.scheme}://{parts.netloc}".lower()
