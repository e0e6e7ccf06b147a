"""The event stream as an endless async iterator: it reconnects with backoff and resumes with `?after=`.

Between frames it yields `Connected` and `Disconnected`, so that the console can show how old the data is, and why.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from novacron_core import errors
from novacron_core.api import events
from novacron_core.client.connection import WatchedConnection
from novacron_core.client.rest import Client
from novacron_core.client.sockets import check_protocol, closed, open_socket, retry_wait_s

_MAX_FRAME_BYTES = 4 * 1024 * 1024
_LAST_RETRY_S = 15.0
_SUBSCRIBE_GAP_S = 0.3
"""Minimum seconds between two subscription changes: scrolling through a list must not flood the server."""


@dataclass(frozen=True, slots=True)
class Connected:
    """Connected: the following frames are current. `took_s` is the time from the request to the hello: the age of its
    `server_time` is between zero and that."""

    hello: events.Hello
    took_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Disconnected:
    """Not connected because of `reason`; the next attempt starts in `retry_s` seconds. `error` is what was raised, if
    anything was."""

    reason: str
    retry_s: float
    error: errors.NovaCronError | None = None


Update = (
    Connected
    | Disconnected
    | events.InventoryFrame
    | events.ValuesFrame
    | events.Event
    | events.SamplesFrame
    | events.GoneFrame
    | events.Heartbeat
)


class SampleSubscription:
    """The samples that a reader of the stream wants. May be changed at any time; it is sent again after a reconnect."""

    def __init__(self) -> None:
        self.samples: events.SampleRequest | None = None
        self._changed = asyncio.Event()

    def want(self, samples: events.SampleRequest | None) -> None:
        """Replace the request; None asks for no samples."""
        if samples != self.samples:
            self.samples = samples
            self._changed.set()

    async def keep_sent(self, socket: ClientConnection, hello: events.Hello) -> None:
        """Send the current request, and each later change, until the connection ends. A server that knows no heat is not
        asked for it."""
        sent: events.SampleRequest | None = None
        while True:
            self._changed.clear()
            if self.samples != sent:
                sent = wanted = self.samples
                if wanted is not None and not hello.heat:
                    wanted = msgspec.structs.replace(wanted, heat=False)
                await socket.send(msgspec.json.encode(events.Subscribe(samples=wanted)).decode())
                await asyncio.sleep(_SUBSCRIBE_GAP_S)
            await self._changed.wait()


async def stream(
    client: Client, *, after: int | None = None, subscription: SampleSubscription | None = None
) -> AsyncIterator[Update]:
    """Follow everything this session may see, without end; with the samples of `subscription`, if the server has any.

    Raises Unauthenticated when the session has ended and IncompatibleServer when the server speaks another protocol.
    Any other failure yields a `Disconnected` and is retried: also one of the session's renewal, such as a database that
    is down, too many requests, or a saved session that another process has locked.
    """
    position = _Position(after)
    tries = 0
    while True:
        error: errors.NovaCronError | None = None
        try:
            async for update in _connection(client, position, subscription):
                if isinstance(update, Connected):
                    tries = 0
                yield update
            reason = "the server closed the stream"
        except (errors.Unauthenticated, errors.IncompatibleServer):
            raise
        except errors.NovaCronError as e:
            reason, error = e.detail, e
        except OSError as e:
            reason = f"the connection failed on this machine: {e.strerror or e}"
        wait_s = retry_wait_s(tries, _LAST_RETRY_S)
        tries += 1
        yield Disconnected(reason, wait_s, error)
        await asyncio.sleep(wait_s)


class _Position:
    """The sequence number from which to resume after a reconnect."""

    def __init__(self, after: int | None) -> None:
        self.after = after

    def move(self, frame: Update) -> None:
        if (isinstance(frame, events.Event) and not frame.unlogged) or (
            isinstance(frame, events.InventoryFrame) and frame.last
        ):
            self.after = frame.seq
        elif isinstance(frame, events.GoneFrame):
            self.after = None


async def _connection(
    client: Client, position: _Position, subscription: SampleSubscription | None
) -> AsyncIterator[Update]:
    if client.credentials.stale:
        await client.refresh()
    began = time.monotonic()
    try:
        socket = await open_socket(client, events.STREAM.path, _query(position.after), _MAX_FRAME_BYTES)
    except (errors.Unauthenticated, errors.Forbidden):
        await client.refresh()
        began = time.monotonic()
        try:
            socket = await open_socket(client, events.STREAM.path, _query(position.after), _MAX_FRAME_BYTES)
        except errors.Forbidden as e:
            raise errors.Unauthenticated(e.detail) from e
    tasks = [asyncio.create_task(socket.watch(), name="watch")]
    try:
        async for frame in _frames(client, socket):
            if isinstance(frame, Connected) and frame.hello.samples and subscription is not None:
                tasks.append(asyncio.create_task(subscription.keep_sent(socket, frame.hello), name="subscription"))
                tasks[-1].add_done_callback(_retrieve_exception)
            position.move(frame)
            yield replace(frame, took_s=time.monotonic() - began) if isinstance(frame, Connected) else frame
    finally:
        client.distrust()
        for task in tasks:
            task.cancel()
        # Closing waits for the peer; on a dead connection that would delay the reconnect.
        socket.transport.abort()


async def _frames(client: Client, socket: WatchedConnection) -> AsyncIterator[Update]:
    while True:
        try:
            raw = await socket.recv(decode=True)
        except ConnectionClosed as e:
            raise closed(socket, e) from e
        frame = _decode(client.clean(str(raw)))
        if isinstance(frame, events.Hello):
            check_protocol(frame.version, frame.protocol)
            yield Connected(frame)
        elif isinstance(frame, events.ProblemFrame):
            raise errors.from_problem(frame.problem)
        elif frame is not None and not isinstance(frame, events.Pong | events.Subscribed | events.Unsubscribed):
            yield frame


def _retrieve_exception(task: asyncio.Task[None]) -> None:
    """Mark the exception of a failed send as retrieved: the reader of the connection reports the failure."""
    if not task.cancelled():
        task.exception()


def _decode(text: str) -> events.ServerFrame | None:
    """A frame, or None for a kind that this version does not know. Raises IncompatibleServer for invalid data."""
    try:
        return events.decode_frame(text)
    except msgspec.ValidationError as e:
        raise errors.IncompatibleServer(f"the server sent an invalid frame: {e}") from e
    except msgspec.DecodeError as e:
        raise errors.IncompatibleServer(f"the server sent a frame that is not JSON: {e}") from e
    except RecursionError as e:
        raise errors.IncompatibleServer("the server sent a frame that is nested too deeply") from e


def _query(after: int | None) -> str:
    return "" if after is None else f"after={after}"
