"""The WebSocket of the event stream: authentication, outgoing frames, incoming messages.

One task reads, which also detects a client that disconnects; another writes. All tasks are cancelled together.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import msgspec
import structlog
from litestar import WebSocket
from litestar.exceptions import WebSocketDisconnect
from litestar.handlers import WebsocketRouteHandler

from novacron_core import PROTOCOL, __version__, errors
from novacron_core.api import events as api
from novacron_core.rules.filters.language import FilterError
from novacron_core.rules.visibility import Principal
from novacron_core.values.roles import allows, why_not_role
from novacron_server.http import decoding
from novacron_server.http.routing import Authenticator, bearer
from novacron_server.http.websocket_protocol import WebSocketProtocol, protocol_of
from novacron_server.inventory.inventory import Inventory
from novacron_server.stream.hub import Hub, Listener
from novacron_server.stream.inventory_frames import inventory_frames
from novacron_server.stream.samples import SampleStreamer

Socket = WebSocket[Any, Any, Any]
_log = structlog.get_logger()
TicketTaker = Callable[[str], Awaitable[Principal]]
_MESSAGES_PER_MINUTE = 300
_POLICY_VIOLATION = 1008
_TOO_BIG = 1009
_CLOSE_TIMEOUT_S = 2.0
STALL_S = 4.0
"""A peer that sends no pong for this long, while no data is transferred, has stopped reading. With `check_s` before and
after it, a stalled peer is disconnected within 10 seconds."""


class Stream:
    """Serves `GET /ws/events/v1`."""

    def __init__(
        self,
        hub: Hub,
        inventory: Inventory,
        authenticate: Authenticator,
        take_ticket: TicketTaker,
        samples: SampleStreamer,
        *,
        origins: frozenset[str] = frozenset(),
        heartbeat_s: float = api.HEARTBEAT_S,
        check_s: float = 2.0,
    ) -> None:
        self._hub = hub
        self._inventory = inventory
        self._authenticate = authenticate
        self._take_ticket = take_ticket
        self._samples = samples
        self._origins = origins
        self._heartbeat_s = heartbeat_s
        self._check_s = check_s

    def handler(self) -> WebsocketRouteHandler:
        async def handle(socket: Socket) -> None:
            await self._serve(socket)

        return WebsocketRouteHandler(path=api.STREAM.path, opt={"endpoint": api.STREAM})(handle)

    async def _serve(self, socket: Socket) -> None:
        try:
            query = decoding.query(socket.query_params.multi_items(), api.StreamQuery)
            principal, token = await self._authenticate_client(socket, query)
        except errors.NovaCronError as e:
            # Closed before accept: the handshake always gets the response 403.
            await socket.close(code=_POLICY_VIOLATION, reason=e.code)
            return
        await socket.accept()
        listener = Listener(principal, protocol_of(socket.scope))
        tasks: list[asyncio.Task[None]] = [
            asyncio.create_task(self._read(socket, listener), name="stream reader"),
            asyncio.create_task(self._write(socket, listener, query.after), name="stream writer"),
            asyncio.create_task(self._watch_session(listener, token), name="stream session watcher"),
            asyncio.create_task(
                self._watch_connection(listener, protocol_of(socket.scope)), name="stream connection watcher"
            ),
        ]
        try:
            waiting: set[asyncio.Future[Any]] = {*tasks, listener.close_code}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hub.remove(listener)
            self._samples.unsubscribe(listener)
            for task in tasks:
                task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, Exception) and not isinstance(result, WebSocketDisconnect):
                    _log.warning("an event stream failed", exc_info=result)
        if listener.close_code.done():
            await _close(socket, listener.close_code.result(), protocol_of(socket.scope))

    async def _authenticate_client(self, socket: Socket, query: api.StreamQuery) -> tuple[Principal, str]:
        token = bearer(socket)
        origin = socket.headers.get("origin")
        if origin is not None and not token and _origin(origin) not in self._origins:
            raise errors.Forbidden("this origin is not allowed")
        principal = await (self._authenticate(token) if token else self._take_ticket(query.ticket or ""))
        if not allows(principal.role, api.STREAM.permission):
            raise errors.Forbidden(why_not_role(principal.role, api.STREAM.permission) or "")
        return principal, token

    # -- sending -----------------------------------------------------------------------------------------------------

    async def _write(self, socket: Socket, listener: Listener, after: int | None) -> None:
        await self._inventory.wait_for_first_read()
        for frame in self._opening_frames(listener, after):
            await _send(socket, listener, frame)
        while True:
            listener.idle = True
            frame = await self._next(listener)
            listener.idle = False
            for part in listener.expand(frame):
                await _send(socket, listener, part)

    async def _next(self, listener: Listener) -> bytes:
        """The next queued frame, or a heartbeat if nothing was sent for the heartbeat interval."""
        while True:
            silent_s = asyncio.get_running_loop().time() - listener.sent_at
            if silent_s >= self._heartbeat_s:
                return self._hub.heartbeat()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._heartbeat_s - silent_s):
                    return await listener.queue.get()

    def _opening_frames(self, listener: Listener, after: int | None) -> list[bytes]:
        """Hello and the initial state. There is no await between reading the state and adding the listener: no gap."""
        hello = api.Hello(
            protocol=PROTOCOL,
            version=__version__,
            session=str(uuid4()),
            server_time=datetime.now(UTC),
            database_away_since=self._hub.database_away_since,
            samples=True,
        )
        frames = [msgspec.json.encode(hello)]
        missed = None if after is None else self._hub.since(listener.principal, after)
        if missed is not None:
            frames += [*missed, *self._hub.unlogged(listener.principal)]
        else:
            if after is not None:
                frames.append(msgspec.json.encode(api.GoneFrame(after=after)))
            frames += inventory_frames(self._inventory, listener.principal)
        self._hub.add(listener)
        return frames

    async def _watch_session(self, listener: Listener, token: str) -> None:
        """Disconnect within seconds after the session or token expires, is revoked or loses the permission."""
        while True:
            left_s = (listener.principal.expires_at - datetime.now(UTC)).total_seconds()
            await asyncio.sleep(min(self._check_s, max(0.0, left_s)))
            if listener.principal.expires_at <= datetime.now(UTC) or (token and not await self._is_token_valid(token)):
                listener.end(api.CLOSE_UNAUTHENTICATED)

    async def _watch_connection(self, listener: Listener, connection: WebSocketProtocol | None) -> None:
        """Disconnect a peer that does not read: it is suspended, hangs, or has lost its network."""
        pinged_at = 0
        while connection is not None:
            await asyncio.sleep(self._check_s)
            if connection.stalled_s() > STALL_S:
                listener.end(api.CLOSE_LAGGED)
            elif listener.sent > pinged_at:
                pinged_at = listener.sent
                connection.ask()
        await listener.close_code

    async def _is_token_valid(self, token: str) -> bool:
        try:
            await self._authenticate(token)
        except (errors.Unauthenticated, errors.Forbidden):
            return False
        except errors.NovaCronError:
            return True  # unknown while the database is unavailable: the token itself has not expired
        return True

    # -- receiving ---------------------------------------------------------------------------------------------------

    async def _read(self, socket: Socket, listener: Listener) -> None:
        budget = _MESSAGES_PER_MINUTE
        window = asyncio.get_running_loop().time()
        while True:
            raw = await socket.receive_data(mode="text")
            now = asyncio.get_running_loop().time()
            if now - window >= 60:
                window, budget = now, _MESSAGES_PER_MINUTE
            budget -= 1
            if budget < 0:
                listener.end(_POLICY_VIOLATION)
                return
            if len(raw) > api.MAX_CLIENT_FRAME_BYTES:
                listener.end(_TOO_BIG)
                return
            self._handle(raw, listener)

    def _handle(self, raw: str | bytes, listener: Listener) -> None:
        try:
            message = msgspec.json.decode(raw, type=api.ClientMessage)
            self._update_samples(message, listener)
        except (msgspec.DecodeError, FilterError) as e:
            problem = errors.InvalidArgument(f"invalid message: {e}").problem()
            listener.send(msgspec.json.encode(api.ProblemFrame(problem=problem)))
            return
        if isinstance(message, api.Subscribe):
            listener.filters = message.filters
            answer: api.Frame = api.Subscribed()
        elif isinstance(message, api.Unsubscribe):
            listener.filters = None
            answer = api.Unsubscribed()
        else:
            answer = api.Pong(id=message.id)
        listener.send(msgspec.json.encode(answer))

    def _update_samples(self, message: api.ClientMessage, listener: Listener) -> None:
        """Raises FilterError."""
        if isinstance(message, api.Subscribe):
            self._samples.subscribe(listener, message.samples)
        elif isinstance(message, api.Unsubscribe):
            self._samples.subscribe(listener, None)


async def _send(socket: Socket, listener: Listener, frame: bytes) -> None:
    listener.record_sent(1)
    await socket.send_data(frame.decode(), mode="text")


async def _close(socket: Socket, code: int, connection: WebSocketProtocol | None) -> None:
    """Close the socket, with a timeout: a stalled peer does not read the close frame."""
    if connection is not None and code == api.CLOSE_LAGGED:
        connection.hang_up(code)
        return
    with contextlib.suppress(TimeoutError, RuntimeError, WebSocketDisconnect):
        async with asyncio.timeout(_CLOSE_TIMEOUT_S):
            await socket.close(code=code)


def _origin(value: str) -> str:
    parts = urlsplit(value)
    return f"{parts.scheme}://{parts.netloc}".lower()
