"""Follows the serial console of a VM: it reconnects with backoff and goes on where it was. Nothing is typed twice.

What was sent when a connection breaks may have been typed or not; it is never sent again. What was not sent yet is dropped,
and the caller is told so: the guest may be at another prompt by then. For the same reason everything that waits is dropped
when the server could not type a part of it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import urlencode

import msgspec
from websockets.exceptions import ConnectionClosed

from novacron_core import errors
from novacron_core.api import consoles as api
from novacron_core.client.connection import WatchedConnection
from novacron_core.client.rest import Client, fill, parameters
from novacron_core.client.sockets import check_protocol, close_code, closed, open_socket, retry_wait_s
from novacron_core.client.stream import Disconnected
from novacron_core.values.sizes import size_text

WINDOW_BYTES = 32 * 1024
"""How much may be on the way: on a slow line, the echo of a key comes after what is."""
_CONFIRM_BYTES = 8 * 1024
_MAX_FRAME_BYTES = 1024 * 1024
_PIECE_BYTES = 4096
_LAST_RETRY_S = 10.0
MAX_WAITING_BYTES = 2 * 1024 * 1024
"""What may wait to be typed: a pasted megabyte takes a serial line a while."""


@dataclass(frozen=True, slots=True)
class ConsoleOutput:
    """Bytes that the guest has printed. Confirm `at` with `ConsoleClient.confirm` when they are on the screen."""

    data: bytes
    at: int


ConsoleUpdate = (
    ConsoleOutput
    | Disconnected
    | api.ConsoleHello
    | api.ConsoleLine
    | api.ConsoleWriter
    | api.ConsoleSkipped
    | api.ConsoleProblem
)


class ConsoleClient:
    """One follower of one console. `updates` runs it; the other methods may be called at any time from the same loop."""

    def __init__(self, client: Client, vm_id: str, *, write: bool = True, tail: int = 64 * 1024) -> None:
        self._client = client
        self._path = fill(api.CONSOLE.path, {"vm_id": vm_id})
        self._write, self._tail = write, tail
        self._stream, self._at, self._follower = "", 0, ""
        self._socket: WatchedConnection | None = None
        self._confirmed = 0
        self._messages: deque[bytes] = deque()
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = self._sent = self._done = 0
        self._wake = asyncio.Event()

    @property
    def follower(self) -> str:
        """The number of this follower, empty before it was connected."""
        return self._follower

    @property
    def waiting(self) -> int:
        """Bytes that were typed here and are not sent yet."""
        return self._waiting_bytes

    def type(self, data: bytes) -> bool:
        """Type this. False when there is no connection, or too much is waiting: then nothing of it is typed."""
        if self._socket is None or self._waiting_bytes + len(data) > MAX_WAITING_BYTES:
            return False
        for start in range(0, len(data), _PIECE_BYTES):
            self._waiting.append(data[start : start + _PIECE_BYTES])
        self._waiting_bytes += len(data)
        self._wake.set()
        return True

    def stop_typing(self) -> int:
        """Drop what is not sent yet. Returns how many bytes that were."""
        dropped, self._waiting_bytes = self._waiting_bytes, 0
        self._waiting.clear()
        return dropped

    def take(self, from_: str = "") -> None:
        """Ask to type instead of this follower; empty: if nobody types."""
        self._ask(api.Take(from_=from_))

    def release(self) -> None:
        """Let others type."""
        self._ask(api.Release())

    def force(self) -> None:
        """Take the console from another program, such as virsh."""
        self._ask(api.Force())

    def confirm(self, at: int) -> None:
        """What came before this byte has been shown."""
        at = min(at, self._at)  # of an earlier stream, whose bytes had other numbers
        if at - self._confirmed >= _CONFIRM_BYTES:
            self._confirmed = at
            self._ask(api.Ack(at=at))

    def _ask(self, message: api.ConsoleClientMessage) -> None:
        self._messages.append(msgspec.json.encode(message))
        self._wake.set()

    async def updates(self) -> AsyncIterator[ConsoleUpdate]:
        """Follow the console without end.

        Raises what cannot change by waiting: Unauthenticated, Forbidden, NotFound (the VM is gone), Conflict (two hosts
        have it), IncompatibleServer. Other failures yield a `Disconnected` and are retried.
        """
        tries = 0
        while True:
            error: errors.NovaCronError | None = None
            try:
                async for update in self._connection():
                    if isinstance(update, api.ConsoleHello):
                        tries = 0
                    yield update
                reason = "the server closed the console"
            except (
                errors.Unauthenticated, errors.Forbidden, errors.NotFound, errors.Conflict, errors.IncompatibleServer,
            ):  # fmt: skip
                raise
            except errors.NovaCronError as e:
                reason, error = e.detail, e
            except OSError as e:
                reason = f"the connection failed on this machine: {e.strerror or e}"
            finally:
                self._socket = None
                dropped = self.stop_typing()
            if dropped:
                reason = f"{reason}; {size_text(dropped)} of what was typed here were not sent"
            wait_s = retry_wait_s(tries, _LAST_RETRY_S)
            tries += 1
            yield Disconnected(reason, wait_s, error)
            await asyncio.sleep(wait_s)

    async def _connection(self) -> AsyncIterator[ConsoleUpdate]:
        if self._client.credentials.stale:
            await self._client.refresh()
        try:
            socket = await self._open()
        except (errors.Unauthenticated, errors.Forbidden):
            await self._client.refresh()  # the role may have changed since the token was made
            socket = await self._open()
        self._messages.clear()
        self._sent = self._done = 0
        tasks = [
            asyncio.create_task(socket.watch(), name="watch console"),
            asyncio.create_task(self._send(socket), name="console input"),
        ]
        try:
            async for update in self._frames(socket):
                yield update
        finally:
            self._client.distrust()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            socket.transport.abort()

    async def _open(self) -> WatchedConnection:
        query = api.ConsoleQuery(
            write=self._write,
            tail=self._tail,
            window=WINDOW_BYTES,
            stream=self._stream,
            after=self._at,
            follower=self._follower,
        )
        return await open_socket(self._client, self._path, urlencode(parameters(query)), _MAX_FRAME_BYTES)

    async def _frames(self, socket: WatchedConnection) -> AsyncIterator[ConsoleUpdate]:
        while True:
            try:
                raw = await socket.recv()
            except ConnectionClosed as e:
                raise _closed(socket, e) from e
            if isinstance(raw, bytes):
                self._at += len(raw)
                yield ConsoleOutput(raw, self._at)
                continue
            frame = _decode(self._client.clean(raw))
            if isinstance(frame, api.ConsoleHello):
                self._begin(frame, socket)
            elif isinstance(frame, api.ConsoleSkipped):
                self._at = frame.at
            elif isinstance(frame, api.ConsoleProblem) and frame.lost:
                frame = self._lose(frame)
            elif isinstance(frame, api.ConsoleTyped):
                self._done = frame.bytes
                self._wake.set()
                continue
            if frame is not None and not isinstance(frame, api.ConsoleBeat | api.ConsoleTyped):
                yield frame

    def _lose(self, problem: api.ConsoleProblem) -> api.ConsoleProblem:
        """Some of what was typed is lost, so drop what follows it. Returns the problem with all that was lost."""
        behind = self._sent - self._done + self.stop_typing()
        self._ask(api.TypeOn())
        return msgspec.structs.replace(problem, lost=problem.lost + behind)

    def _begin(self, hello: api.ConsoleHello, socket: WatchedConnection) -> None:
        check_protocol(hello.version, hello.protocol)
        self._stream, self._follower = hello.stream, hello.follower
        self._at = self._confirmed = hello.at
        self._socket = socket

    async def _send(self, socket: WatchedConnection) -> None:
        """Send what is asked and typed, the latter no faster than the guest reads it."""
        with contextlib.suppress(ConnectionClosed):  # the reader of the connection reports why
            while True:
                self._wake.clear()
                while self._messages:
                    await socket.send(self._messages.popleft().decode())
                while self._waiting and self._sent - self._done < api.INPUT_WINDOW_BYTES and not self._messages:
                    data = self._waiting.popleft()
                    self._waiting_bytes -= len(data)
                    self._sent += len(data)
                    await socket.send(data)
                if not self._messages:
                    await self._wake.wait()


def _decode(text: str) -> api.ConsoleServerFrame | None:
    try:
        return api.decode_console_frame(text)
    except (msgspec.DecodeError, RecursionError) as e:
        raise errors.IncompatibleServer(f"the server sent an invalid frame: {e}") from e


def _closed(socket: WatchedConnection, e: ConnectionClosed) -> errors.NovaCronError:
    code = None if socket.timed_out else close_code(e)
    if code == api.CLOSE_GONE:
        return errors.NotFound("the VM was deleted, or belongs to somebody else now")
    if code == api.CLOSE_IDLE:
        return errors.Conflict("the server closed the console: nothing was typed or printed for hours")
    if code == api.CLOSE_REPLACED:
        return errors.Conflict("the console was opened again by another connection of this session")
    return closed(socket, e)
