"""Whose place at a console a connection may continue."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from novacron_core.api import access, vms
from novacron_core.api import consoles as api
from novacron_core.api.events import CLOSE_UNAUTHENTICATED
from novacron_core.client import Client
from novacron_core.client.sockets import socket_url
from novacron_core.values.roles import Role
from tests.support.accounts import PASSWORD
from tests.support.server import LiveServer

pytestmark = pytest.mark.asyncio
MIB = 1 << 20


@contextlib.asynccontextmanager
async def raw(server: LiveServer, vm: vms.VM, query: str = "", client: Client | None = None, **more: Any) -> AsyncIterator[
    ClientConnection
]:  # fmt: skip
    """A socket without a client of ours behind it."""
    url = socket_url(server.url, api.CONSOLE.path.replace("{vm_id}", vm.id), query)
    headers = {"Authorization": (client or server.admin).credentials.authorization}
    async with connect(url, additional_headers=headers, compression=None, **more) as opened:
        yield opened


async def hello_of(opened: ClientConnection) -> api.ConsoleHello:
    hello = api.decode_console_frame(await opened.recv())
    assert isinstance(hello, api.ConsoleHello)
    return hello


async def close_code(opened: ClientConnection) -> int:
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            await asyncio.wait_for(opened.recv(), 20)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


async def test_place_is_continued_by_its_own_session_only(server: LiveServer) -> None:
    vm = await server.vm("test")
    async with await server.member("olga", Role.ADMINISTRATOR) as olga, raw(server, vm) as ann:
        hers = await hello_of(ann)
        assert hers.writer is not None
        query = f"follower={hers.follower}&stream={hers.stream}&after=0"
        async with raw(server, vm, query, client=olga) as thief:
            stolen = await hello_of(thief)
            assert stolen.writer == hers.writer
            assert stolen.followers == 2
            await thief.send(b"x")
            while not isinstance(problem := api.decode_console_frame(await thief.recv()), api.ConsoleProblem):
                pass
            assert (problem.problem.detail, problem.lost) == ("ann types now: take over first", 1)
        other = Client(server.url)
        await other.sign_in("ann", PASSWORD)
        async with raw(server, vm, query, client=other) as same_user:
            assert (await hello_of(same_user)).writer == hers.writer  # another session of the same account
        await other.close()
        async with raw(server, vm, query) as again:
            continued = await hello_of(again)
            assert continued.writer is not None
            assert continued.writer.follower == continued.follower
            assert await close_code(ann) == api.CLOSE_REPLACED


async def test_signing_out_closes_a_console_that_was_opened_with_a_ticket(server: LiveServer) -> None:
    vm = await server.vm("test")
    async with await server.member("olga", Role.ADMINISTRATOR) as olga:
        ticket = (await olga.call(access.WS_TICKET)).ticket
        path = api.CONSOLE.path.replace("{vm_id}", vm.id)
        async with connect(socket_url(server.url, path, f"ticket={ticket}")) as by_ticket:
            assert '"hello"' in str(await by_ticket.recv())
            await olga.call(access.LOGOUT)
            with pytest.raises(ConnectionClosed) as closed:
                async with asyncio.timeout(5):
                    while True:
                        await by_ticket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == CLOSE_UNAUTHENTICATED
