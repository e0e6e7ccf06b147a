"""The WebSocket of the event stream: the frames that it sends and the messages that it accepts.

One task reads, which also detects a client that disconnects; another writes.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from uuid import uuid4

import msgspec
from litestar.handlers import WebsocketRouteHandler

from novacron_core import PROTOCOL, __version__, errors
from novacron_core.api import events as api
from novacron_core.api.nouns import POOLS, TIERS
from novacron_core.rules.filters.language import FilterError
from novacron_core.values.roles import Role
from novacron_server.http import decoding
from novacron_server.http.websocket.gateway import Admitted, WebSocketGateway
from novacron_server.http.websocket.inbox import Inbox, InboxLimits, Socket
from novacron_server.inventory.inventory import Inventory
from novacron_server.stream.hub import Hub, Listener
from novacron_server.stream.inventory_frames import inventory_frames, values_frame
from novacron_server.stream.samples import SampleStreamer

LIMITS = InboxLimits(messages_per_minute=300, max_bytes=api.MAX_CLIENT_FRAME_BYTES)


class Stream:
    """Serves `GET /ws/events/v1`."""

    def __init__(
        self,
        gateway: WebSocketGateway,
        hub: Hub,
        inventory: Inventory,
        samples: SampleStreamer,
        *,
        heartbeat_s: float = api.HEARTBEAT_S,
    ) -> None:
        self._gateway = gateway
        self._hub = hub
        self._inventory = inventory
        self._samples = samples
        self._heartbeat_s = heartbeat_s

    def handler(self) -> WebsocketRouteHandler:
        return self._gateway.handler(api.STREAM, self._serve)

    async def _serve(self, client: Admitted[api.StreamQuery]) -> None:
        listener = Listener(client.principal, client.protocol)
        work = {
            "stream reader": self._read(Inbox(client.socket, LIMITS), listener),
            "stream writer": self._write(client.socket, listener, client.query.after),
        }
        try:
            await self._gateway.run(client, listener.close_code, lambda: listener.sent, work)
        finally:
            self._hub.remove(listener)
            self._samples.unsubscribe(listener)

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
            degraded=self._hub.degraded(),
            samples=True,
            heat=True,
        )
        frames = [msgspec.json.encode(hello)]
        missed = None if after is None else self._hub.frames_after(listener.principal, after)
        if missed is not None:
            frames += [*missed, *self._hub.unlogged(listener.principal)]
            if listener.principal.role is not Role.ADMINISTRATOR:
                frames.append(values_frame(self._inventory, listener.principal, (POOLS, TIERS)))
        else:
            if after is not None:
                frames.append(msgspec.json.encode(api.GoneFrame(after=after)))
            frames += inventory_frames(self._inventory, listener.principal)
        self._hub.add(listener)
        return frames

    # -- receiving ---------------------------------------------------------------------------------------------------

    async def _read(self, inbox: Inbox, listener: Listener) -> None:
        while True:
            self._handle(await inbox.receive(), listener)

    def _handle(self, raw: str | bytes, listener: Listener) -> None:
        try:
            decoding.check_size(raw.encode() if isinstance(raw, str) else raw)
            message = msgspec.json.decode(raw, type=api.ClientMessage)
            self._update_samples(message, listener)
        except (msgspec.DecodeError, UnicodeEncodeError, FilterError, errors.InvalidArgument) as e:
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
