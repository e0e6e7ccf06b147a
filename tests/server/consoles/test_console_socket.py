"""The socket of a console: who may open it, what it refuses, what it records, and followers that do not keep up."""

from __future__ import annotations

import asyncio

import libvirt
import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from novacron_core import errors
from novacron_core.api import audit, vms
from novacron_core.api import consoles as api
from novacron_core.api.access import WS_TICKET
from novacron_core.client import Client, Disconnected
from novacron_core.client.sockets import socket_url
from novacron_core.values.roles import Role
from novacron_server.consoles.console import SharedConsole
from novacron_server.consoles.follower import TAIL_BYTES
from novacron_server.consoles.ring import RING_BYTES
from novacron_server.http.limits import Budget, RateLimits
from tests.support.consoles import watching
from tests.support.server import LiveServer
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio
HELD = "another program, such as virsh console, has the serial console of this VM"


def path_of(vm: vms.VM) -> str:
    return api.CONSOLE.path.replace("{vm_id}", vm.id)


async def shared(server: LiveServer, vm: vms.VM) -> SharedConsole:
    async def found() -> SharedConsole | None:
        return server.parts.consoles.live._open.get((vm.host, vm.id))

    return await until(found)


async def refused_with(client: Client, vm_id: str) -> errors.NovaCronError:
    async with watching(client, vm_id) as watcher:

        async def ended() -> errors.NovaCronError | None:
            return watcher.error

        return await until(ended)


async def test_viewer_and_stranger_are_told_why_they_are_refused(server: LiveServer) -> None:
    vm = await server.vm("test")
    async with await server.member("vera", Role.VIEWER) as viewer:
        error = await refused_with(viewer, vm.id)
    assert isinstance(error, errors.Forbidden)
    assert "vm:console" in error.detail
    missing = await refused_with(server.admin, "00000000-0000-4000-8000-000000000000")
    assert isinstance(missing, errors.NotFound)
    with pytest.raises(InvalidStatus) as bare:
        await connect(socket_url(server.url, path_of(vm)))
    assert bare.value.response.status_code == 403


async def test_ticket_opens_a_console_once(server: LiveServer) -> None:
    vm = await server.vm("test")
    ticket = await server.admin.call(WS_TICKET)
    url = socket_url(server.url, path_of(vm), f"ticket={ticket.ticket}")
    async with connect(url) as socket:
        hello = api.decode_console_frame(await socket.recv())
        assert isinstance(hello, api.ConsoleHello)
    with pytest.raises(InvalidStatus):
        await connect(url)


async def test_simulated_vm_has_no_console_and_says_so(server: LiveServer) -> None:
    vm = await server.vm("test")
    async with watching(server.admin, vm.id) as watcher:
        await watcher.in_state(api.LineState.NONE)
        watcher.console.type(b"x")

        async def told() -> list[str] | None:
            return watcher.problems or None

        assert await until(told) == ["not typed: a simulated VM has no serial console"]


async def test_messages_that_are_none_are_refused_and_too_large_ones_close(server: LiveServer) -> None:
    vm = await server.vm("test")
    url = socket_url(server.url, path_of(vm))
    headers = {"Authorization": server.admin.credentials.authorization}
    async with connect(url, additional_headers=headers) as socket:
        for text in ("", "{}", "[" * 5000, '{"frame":"take","from":"' + "x" * 100 + '"}', '{"frame":"ack","at":-1}'):
            await socket.send(text)

            async def problem() -> api.ConsoleProblem:
                while not isinstance(frame := api.decode_console_frame(await socket.recv()), api.ConsoleProblem):
                    pass
                return frame

            assert (await asyncio.wait_for(problem(), 10)).problem.status == 400
        await socket.send(b"x" * (api.MAX_INPUT_BYTES + 1))
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await asyncio.wait_for(socket.recv(), 10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009


async def test_follower_that_confirms_nothing_is_given_the_tail_and_told_how_much_is_missing(
    server: LiveServer,
) -> None:
    vm = await server.vm("test")
    async with watching(server.admin, vm.id, confirms=False) as slow, watching(server.admin, vm.id) as fast:
        await slow.in_state(api.LineState.NONE)
        await fast.in_state(api.LineState.NONE)
        console = await shared(server, vm)
        printed = 0
        for number in range(100):
            line = b"%09d\n" % number * 500
            console._received(line, 0)
            printed += len(line)
            await asyncio.sleep(0.001)

        async def all_seen() -> bool | None:
            return True if len(fast.text) == printed else None

        await until(all_seen)
        assert len(slow.text) == 32 * 1024  # its window
        slow.console.confirm(len(slow.text))

        async def skipped() -> list[api.ConsoleSkipped] | None:
            return [frame for frame in slow.frames if isinstance(frame, api.ConsoleSkipped)] or None

        missing = sum(frame.bytes for frame in await until(skipped))

        async def caught_up() -> bool | None:
            slow.console.confirm(slow.console._at)
            return True if len(slow.text) + missing == printed else None

        await until(caught_up)
        assert slow.text.endswith(fast.text[-TAIL_BYTES:])
        assert missing > 0
        assert len(console.ring.read(console.ring.begin, 1 << 20)) == RING_BYTES


async def test_opening_taking_over_and_closing_are_in_the_audit_log(server: LiveServer) -> None:
    vm = await server.vm("test")
    async with await server.member("olga", Role.OPERATOR):
        pass
    async with watching(server.admin, vm.id) as ann, watching(server.admin, vm.id) as again:
        await ann.in_state(api.LineState.NONE)

        async def told() -> bool | None:
            return True if again.writer_id == ann.console.follower else None

        await until(told)
        again.console.take(ann.console.follower)

        async def taken() -> bool | None:
            return True if ann.writer_id == again.console.follower else None

        await until(taken)

    async def recorded() -> list[audit.AuditEntry] | None:
        page = await server.admin.call(audit.LIST, query=audit.AuditQuery(q="action:vm.console*"))
        found = [entry for entry in page.items if entry.target.id == vm.id]
        return found if len(found) == 5 else None

    entries = await until(recorded)
    assert sorted(entry.action for entry in entries) == sorted(
        ["vm.console-open"] * 2 + ["vm.console-close"] * 2 + ["vm.console-takeover"]
    )
    assert {(entry.actor, entry.target.name) for entry in entries} == {("ann", "test")}


async def test_console_of_a_vm_that_is_gone_is_closed(
    server: LiveServer, libvirt_connection: libvirt.virConnect
) -> None:
    vm = await server.vm("test")
    async with watching(server.admin, vm.id) as watcher:
        await watcher.in_state(api.LineState.NONE)
        libvirt_connection.lookupByName("test").destroy()
        await watcher.in_state(api.LineState.OFF)
        libvirt_connection.lookupByName("test").undefine()

        async def ended() -> errors.NovaCronError | None:
            return watcher.error

        assert isinstance(await until(ended), errors.NotFound)


async def test_frame_of_a_newer_server_is_passed_over() -> None:
    assert api.decode_console_frame('{"frame":"hologram"}') is None
    with pytest.raises(msgspec.ValidationError):
        api.decode_console_frame('{"frame":"skipped","bytes":"many","at":1}')


async def test_client_that_opens_too_many_sockets_is_told_so_and_not_that_it_is_signed_out(
    server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    vm = await server.vm("test")
    path, headers = path_of(vm), {"Authorization": server.admin.credentials.authorization}
    budget = Budget(limit=1, remaining=0, reset_s=9.0, refused=True)
    take = RateLimits.take
    monkeypatch.setattr(
        RateLimits, "take", lambda self, *asked: budget if asked[2] == "websocket" else take(self, *asked)
    )
    with pytest.raises(InvalidStatus) as refused:
        await connect(socket_url(server.url, path), additional_headers=headers)
    assert (refused.value.response.status_code, refused.value.response.headers["retry-after"]) == (429, "9")
    async with watching(server.admin, vm.id) as watcher:

        async def told() -> str | None:
            assert watcher.error is None, watcher.error
            return next((frame.reason for frame in watcher.frames if isinstance(frame, Disconnected)), None)

        assert "too many requests" in await until(told)
        monkeypatch.undo()
        await watcher.in_state(api.LineState.NONE)
