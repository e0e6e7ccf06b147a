"""Whose place at a console a connection may continue."""

from __future__ import annotations

import asyncio

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from novacron_core.api import access
from novacron_core.api import consoles as api
from novacron_core.api.events import CLOSE_UNAUTHENTICATED
from novacron_core.client import Client
from novacron_core.client.sockets import socket_url
from novacron_core.values.roles import Role
from tests.support.accounts import PASSWORD
from tests.support.consoles import console_close_code, console_hello, raw_console
from tests.support.server import LiveServer

pytestmark = pytest.mark.asyncio
MIB = 1 << 20


async def test_place_is_continued_by_its_own_session_only(server: LiveServer) -> None:
    vm = await server.vm("test")
    async with await server.member("olga", Role.ADMINISTRATOR) as olga, raw_console(server, vm) as ann:
        hers = await console_hello(ann)
        assert hers.writer is not None
        query = f"follower={hers.follower}&stream={hers.stream}&after=0"
        async with raw_console(server, vm, query, client=olga) as thief:
            stolen = await console_hello(thief)
            assert stolen.writer == hers.writer
            assert stolen.followers == 2
            await thief.send(b"x")
            while not isinstance(problem := api.decode_console_frame(await thief.recv()), api.ConsoleProblem):
                pass
            assert (problem.problem.detail, problem.lost) == ("ann types now: take over first", 1)
        other = Client(server.url)
        await other.sign_in("ann", PASSWORD)
        async with raw_console(server, vm, query, client=other) as same_user:
            assert (await console_hello(same_user)).writer == hers.writer  # another session of the same account
        await other.close()
        async with raw_console(server, vm, query) as again:
            continued = await console_hello(again)
            assert continued.writer is not None
            assert continued.writer.follower == continued.follower
            assert await console_close_code(ann) == api.CLOSE_REPLACED


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
