"""Clients that send a console what none of ours does: each is refused or closed, and nobody else notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from novacron_core.api import consoles as api
from novacron_core.api import vms
from novacron_server.consoles.console import SharedConsole
from novacron_server.consoles.socket import LIMITS
from tests.support.consoles import Watcher, console_close_code, console_hello, raw_console, watching
from tests.support.server import LiveServer
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")
POLICY_VIOLATION, TOO_BIG = 1008, 1009


class Bystander:
    """Another follower, who must get every byte that is printed, once, and stay connected."""

    def __init__(self, watcher: Watcher, console: SharedConsole) -> None:
        self.watcher, self.console = watcher, console
        self._printed = ""

    def print(self, text: str) -> None:
        self._printed += text
        self.console._received(text.encode(), 0)

    async def print_lines(self) -> None:
        while True:
            self.print(f"line {len(self._printed)}\n")
            await asyncio.sleep(0.02)

    async def complete(self) -> bool | None:
        return True if len(self.watcher.text) >= len(self._printed) else None

    def expect_undisturbed(self) -> None:
        assert self.watcher.text == self._printed
        assert sum(isinstance(frame, api.ConsoleHello) for frame in self.watcher.frames) == 1


@asynccontextmanager
async def bystander(server: LiveServer, vm: vms.VM) -> AsyncIterator[Bystander]:
    consoles = server.parts.consoles.live
    if (vm.host, vm.id) in consoles._open:
        consoles._end((vm.host, vm.id))  # that of the test before, with what it has printed
    async with watching(server.admin, vm.id, write=False) as watcher:
        await watcher.in_state(api.LineState.NONE)
        made = Bystander(watcher, consoles._open[(vm.host, vm.id)])
        printing = asyncio.create_task(made.print_lines())
        try:
            yield made
            assert (await server.admin.call(vms.LIST)).items
        finally:
            printing.cancel()
            await asyncio.wait({printing})
        await until(made.complete)
        made.expect_undisturbed()


async def problem_of(opened: ClientConnection) -> api.ConsoleProblem:
    async with asyncio.timeout(10):
        while True:
            raw = await opened.recv()
            if isinstance(raw, str) and isinstance(frame := api.decode_console_frame(raw), api.ConsoleProblem):
                return frame


async def send_until_closed(opened: ClientConnection, message: str | bytes, count: int) -> int:
    """Returns how many were sent before the socket was closed."""
    for number in range(count):
        try:
            await opened.send(message)
        except ConnectionClosed:
            return number
    return count


@pytest.mark.parametrize(
    "message",
    [b"x", '{"frame":"ack","at":0}', '{"frame":"take"}', "{", b""],
    ids=["keys", "acknowledgements", "takeovers", "malformed", "empty"],
)
async def test_burst_of_10000_messages_closes_its_sender_alone(shared_server: LiveServer, message: str | bytes) -> None:
    vm = await shared_server.vm("test")
    async with bystander(shared_server, vm), raw_console(shared_server, vm, "write=false") as hostile:
        await console_hello(hostile)
        sending = asyncio.create_task(send_until_closed(hostile, message, 10_000))
        assert await console_close_code(hostile) == POLICY_VIOLATION
        assert await sending >= LIMITS.messages_per_minute


@pytest.mark.parametrize(
    "text",
    [
        '{"frame":"hologram"}',
        '{"frame":"hello","protocol":1}',
        '{"frame":"typed","bytes":1}',
        '{"frame":"force","and":"more"}',
        '{"frame":"ack"}',
        '{"frame":"ack","at":-9223372036854775808}',
        '{"frame":"ack","at":1e400}',
        '{"frame":"ack","at":"7"}',
        '{"frame":"take","from":null}',
        "null",
        "[]",
        '"take"',
        '{"frame":"take"',
        "\x00",
        "[" * 1000,
        '{"frame":' * 500,
    ],
)
async def test_message_that_is_none_is_refused_and_the_console_goes_on(shared_server: LiveServer, text: str) -> None:
    vm = await shared_server.vm("test")
    async with bystander(shared_server, vm), raw_console(shared_server, vm) as hostile:
        await console_hello(hostile)
        await hostile.send(text)
        problem = await problem_of(hostile)
        assert problem.problem.status == 400
        assert len(problem.problem.detail) < 500
        await hostile.send(b"x")
        assert "not typed" in (await problem_of(hostile)).problem.detail


@pytest.mark.parametrize("at", [2**31, 2**63 - 1, 2**64, 10**300])
async def test_acknowledgement_of_what_was_never_sent_confirms_no_more_than_was(
    shared_server: LiveServer, at: int
) -> None:
    """It must not open a window for later: a slow line would get more than it asked for."""
    vm = await shared_server.vm("test")
    async with (
        bystander(shared_server, vm) as other,
        raw_console(shared_server, vm, "window=4096&write=false") as hostile,
    ):
        hello = await console_hello(hostile)
        follower = other.console.followers[hello.follower]
        await hostile.send(f'{{"frame":"ack","at":{at}}}')
        await asyncio.sleep(0.3)
        other.print("y" * 20_000)
        await asyncio.sleep(0.3)
        assert sum(end - begin for begin, end in follower._unconfirmed) <= 4096
        assert follower.at <= other.console.ring.end


Hostile = Callable[[ClientConnection], Awaitable[object]]


@pytest.mark.parametrize(
    ("send", "code"),
    [
        (lambda each: each.send(b"x" * (api.MAX_INPUT_BYTES + 1)), TOO_BIG),
        (lambda each: each.send("x" * (api.MAX_INPUT_BYTES + 1)), TOO_BIG),
        (lambda each: each.send(b"x" * (8 << 20)), TOO_BIG),
        (lambda each: each.send([b"x" * 1000 for _ in range(100)]), TOO_BIG),
        (lambda each: each.send([b"x"] * 1000), POLICY_VIOLATION),
    ],
    ids=["bytes", "text", "8 MiB", "in pieces", "in a thousand pieces"],
)
async def test_oversized_frame_closes_its_sender_alone(shared_server: LiveServer, send: Hostile, code: int) -> None:
    vm = await shared_server.vm("test")
    async with bystander(shared_server, vm), raw_console(shared_server, vm) as hostile:
        await console_hello(hostile)
        sending = asyncio.ensure_future(send(hostile))
        assert await console_close_code(hostile) == code
        await asyncio.wait({sending})
        if not sending.cancelled():
            sending.exception()


async def test_bytes_before_the_hello_are_refused_after_it(shared_server: LiveServer) -> None:
    vm = await shared_server.vm("test")
    async with bystander(shared_server, vm), raw_console(shared_server, vm) as hasty:
        await hasty.send(b"before")
        hello = await console_hello(hasty)
        problem = await problem_of(hasty)
        assert (problem.lost, hello.state) == (6, api.LineState.NONE)
        assert problem.problem.detail == "not typed: a simulated VM has no serial console"
