"""The event stream of a whole server: admission, opening frames, events, subscriptions and closing."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import libvirt
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from novacron_core import PROTOCOL
from novacron_core.api import access, events, vms
from novacron_core.api.nouns import VMS
from novacron_core.api.vms import State
from novacron_core.client import stream
from novacron_core.values.roles import Role
from novacron_server.stream.hub import QUEUE, Listener
from novacron_server.stream.inventory_frames import inventory_frames
from tests.support.event_stream import address, frame, open_with, until_frame
from tests.support.server import LiveServer


async def test_stream_sends_hello_then_the_inventory_then_events(server: LiveServer) -> None:
    async with open_with(server.admin, server) as socket:
        hello = await frame(socket)
        assert (hello["frame"], hello["protocol"]) == ("hello", PROTOCOL)
        inventory = await frame(socket)
        assert (inventory["frame"], inventory["last"]) == ("inventory", True)
        assert [vm["name"] for vm in inventory["vms"]] == ["test"]
        test = await server.vm("test")
        await server.admin.call(vms.PAUSE, vm_id=test.id)
        seen: list[dict[str, Any]] = []
        while not any(e["type"] == "operation.succeeded" for e in seen):
            seen.append(await frame(socket))
        assert [e["seq"] for e in seen] == list(range(seen[0]["seq"], seen[0]["seq"] + len(seen)))
        assert seen[0]["seq"] > inventory["seq"]
        assert "vm.paused" in [e["type"] for e in seen]
        # The new state is published before the end of its operation.
        states = [(e["type"], (e["value"] or {}).get("state")) for e in seen if e["target"]["type"] == "vm"]
        assert states[-1][1] == "paused" or ("vm.paused", "paused") in states


async def test_change_outside_novacron_is_sent(server: LiveServer, libvirt_connection: libvirt.virConnect) -> None:
    async with open_with(server.admin, server) as socket:
        await until_frame(socket, lambda f: f["frame"] == "inventory" and f["last"])
        libvirt_connection.lookupByName("test").suspend()
        got = await until_frame(socket, lambda f: f["frame"] == "event" and f["type"] == "vm.paused")
        assert got["value"]["state"] == "paused"


async def test_resume_sends_only_later_events(server: LiveServer) -> None:
    test = await server.vm("test")
    async with open_with(server.admin, server) as socket:
        seq = (await until_frame(socket, lambda f: f["frame"] == "inventory"))["seq"]
    await server.ended(await server.admin.call(vms.PAUSE, vm_id=test.id))
    async with open_with(server.admin, server, f"?after={seq}") as socket:
        assert (await frame(socket))["frame"] == "hello"
        first = await frame(socket)
        assert (first["frame"], first["seq"]) == ("event", seq + 1)


@pytest.mark.parametrize("after", [0, 10**15])
async def test_unavailable_number_gets_gone_and_the_whole_inventory(server: LiveServer, after: int) -> None:
    async with open_with(server.admin, server, f"?after={after}") as socket:
        assert [(await frame(socket))["frame"] for _ in range(3)] == ["hello", "gone", "inventory"]


@pytest.mark.parametrize("query", ["?after=-1", "?after=x", "?nonsense=1", "?ticket=guess"])
async def test_invalid_handshake_is_refused(server: LiveServer, query: str) -> None:
    headers = {} if "ticket" in query else {"Authorization": f"Bearer {server.admin.credentials.token}"}
    with pytest.raises(InvalidStatus) as refused:
        async with connect(address(server, query), additional_headers=headers):
            pass
    assert refused.value.response.status_code == (403 if "ticket" in query else 422)


async def test_unauthenticated_client_and_unknown_origin_are_refused(server: LiveServer) -> None:
    with pytest.raises(InvalidStatus):
        async with connect(address(server)):
            pass
    ticket = (await server.admin.call(access.WS_TICKET)).ticket
    with pytest.raises(InvalidStatus):
        async with connect(address(server, f"?ticket={ticket}"), origin=Origin("https://evil.example")):
            pass


async def test_ticket_opens_the_stream_once(server: LiveServer) -> None:
    ticket = (await server.admin.call(access.WS_TICKET)).ticket
    async with connect(address(server, f"?ticket={ticket}")) as socket:
        assert (await frame(socket))["frame"] == "hello"
    with pytest.raises(InvalidStatus):
        async with connect(address(server, f"?ticket={ticket}")):
            pass


async def test_filters_and_unsubscribe_select_events(server: LiveServer) -> None:
    test = await server.vm("test")
    async with open_with(server.admin, server) as socket:
        await until_frame(socket, lambda f: f["frame"] == "inventory" and f["last"])
        await socket.send(json.dumps({"frame": "subscribe", "filters": {"types": ["operation.*"]}}))
        await until_frame(socket, lambda f: f["frame"] == "subscribed")
        await server.ended(await server.admin.call(vms.PAUSE, vm_id=test.id))
        types = [(await frame(socket))["type"] for _ in range(2)]
        assert all(kind.startswith("operation.") for kind in types)
        await socket.send(json.dumps({"frame": "unsubscribe"}))
        await until_frame(socket, lambda f: f["frame"] == "unsubscribed")
        await server.ended(await server.admin.call(vms.RESUME, vm_id=test.id))
        await socket.send(json.dumps({"frame": "ping", "id": "now"}))
        assert await frame(socket) == {"frame": "pong", "id": "now"}


@pytest.mark.parametrize("text", ["{", "[]", '{"frame":"drop"}', '{"frame":"subscribe","more":1}', "\x00"])
async def test_invalid_message_gets_a_problem_and_the_stream_continues(server: LiveServer, text: str) -> None:
    async with open_with(server.admin, server) as socket:
        await until_frame(socket, lambda f: f["frame"] == "inventory" and f["last"])
        await socket.send(text)
        assert (await frame(socket))["problem"]["code"] == "invalid_argument"
        await socket.send(json.dumps({"frame": "ping"}))
        assert (await frame(socket))["frame"] == "pong"


async def test_too_large_or_too_many_messages_close_the_stream(server: LiveServer) -> None:
    async with open_with(server.admin, server) as socket:
        await socket.send("x" * 9000)
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await frame(socket)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
    async with open_with(server.admin, server) as socket:
        for _ in range(301):
            await socket.send('{"frame":"ping"}')
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await frame(socket)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008


async def test_end_of_the_session_closes_its_stream(server: LiveServer) -> None:
    bob = await server.member("bob", Role.OPERATOR)
    async with open_with(bob, server) as socket:
        await until_frame(socket, lambda f: f["frame"] == "inventory")
        await bob.sign_out()
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(until_frame(socket, lambda f: False), 3)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == events.CLOSE_UNAUTHENTICATED
    await bob.close()


async def test_operator_sees_no_unmanaged_vms_and_no_sessions_of_others(server: LiveServer) -> None:
    bob = await server.member("bob", Role.OPERATOR)
    async with open_with(bob, server) as socket:
        inventory = await until_frame(socket, lambda f: f["frame"] == "inventory")
        assert inventory.get("vms", []) == []
        assert [host["simulated"] for host in inventory["hosts"]] == [True]
        test = await server.vm("test")
        await server.ended(await server.admin.call(vms.PAUSE, vm_id=test.id))
        await (await server.member("eve", Role.VIEWER)).close()
        await socket.send('{"frame":"ping"}')
        assert (await frame(socket))["frame"] == "pong"
    await bob.close()


async def test_heartbeats_are_sent_when_idle(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.stream, "_heartbeat_s", 0.1)
    async with open_with(server.admin, server) as socket:
        await until_frame(socket, lambda f: f["frame"] == "inventory")
        beat = await frame(socket)
        assert (beat["frame"], beat["seq"]) == ("heartbeat", server.parts.hub.state.seq)
    assert events.HEARTBEAT_S == 20.0


async def test_lagging_listener_is_disconnected_without_skipping_events(server: LiveServer) -> None:
    principal = await server.parts.access.authenticate(server.admin.credentials.token)
    listener = Listener(principal)
    for number in range(QUEUE):
        listener.send(str(number).encode())
    assert not listener.close_code.done()
    listener.send(b"one too many")
    assert listener.close_code.result() == events.CLOSE_LAGGED


async def test_inventory_is_sent_in_parts_of_limited_size(
    server: LiveServer, libvirt_connection: libvirt.virConnect
) -> None:
    for number in range(400):
        description = "d" * 1500
        libvirt_connection.defineXML(
            f"<domain type='test'><name>g{number}</name><memory>8192</memory><description>{description}</description>"
            "<os><type>hvm</type></os></domain>"
        )
    host_id = next(iter(server.parts.inventory.state.views))
    sync = server.parts.inventory._syncs[host_id]
    await sync._read_all()
    principal = await server.parts.access.authenticate(server.admin.credentials.token)
    frames = inventory_frames(server.parts.inventory, principal)
    decoded = [part for part in map(events.decode_frame, frames) if isinstance(part, events.InventoryFrame)]
    assert len(decoded) == len(frames)
    assert len(frames) > 2
    assert all(len(data) <= events.MAX_INVENTORY_PART_BYTES for data in frames)
    assert [part.last for part in decoded] == [False] * (len(frames) - 1) + [True]
    assert {part.seq for part in decoded} == {decoded[0].seq}
    assert sum(len(part.of(VMS)) for part in decoded) == 401


async def test_client_follows_a_vm_from_creation_to_deletion(server: LiveServer) -> None:
    test = await server.vm("test")
    states = []
    async with asyncio.timeout(15):
        async for update in stream(server.admin):
            if isinstance(update, events.InventoryFrame) and update.last:
                await server.admin.call(vms.POWER_OFF, vm_id=test.id)
            if isinstance(update, events.Event) and update.target.id == test.id:
                states.append(update.decoded().state)
            if State.STOPPED in states:
                break
