"""Samples on the event stream: for those who asked, what they may see, encoded once, and only the newest."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from novacron_core.api import events
from novacron_core.client import SampleSubscription, stream
from novacron_core.rules.visibility import Principal
from novacron_core.values.roles import Role
from novacron_server.hypervisor.statistics.counters import DomainCounters, Reading
from novacron_server.hypervisor.statistics.reader import clock
from novacron_server.inventory.state import InventoryState
from novacron_server.metrics.latest import LatestSamples
from novacron_server.stream.hub import Listener
from novacron_server.stream.samples import SampleStreamer
from tests.support.event_stream import frame, open_with, until_frame
from tests.support.server import LiveServer

ANN = Principal("1", "ann", Role.ADMINISTRATOR, "default", "s", datetime.max.replace(tzinfo=UTC))


async def subscribed(socket: ClientConnection, **samples: Any) -> None:
    await until_frame(socket, lambda f: f["frame"] == "inventory" and f["last"])
    await socket.send(json.dumps({"frame": "subscribe", "samples": samples}))
    await until_frame(socket, lambda f: f["frame"] == "subscribed")


def a_sample(f: dict[str, Any]) -> bool:
    return bool(f["frame"] == "samples")


@pytest.mark.parametrize("targets", ["*", "name:test", "ids"])
async def test_whoever_asks_gets_the_numbers_of_what_he_named(server: LiveServer, targets: Any) -> None:
    vm = await server.vm("test")
    async with open_with(server.admin, server) as socket:
        hello = await until_frame(socket, lambda f: f["frame"] == "hello")
        assert hello["samples"] is True
        await subscribed(socket, targets=[vm.id] if targets == "ids" else targets, interval_s=1)
        got = await until_frame(socket, lambda f: a_sample(f) and vm.id in f["vms"] and f["vms"][vm.id][0] is not None)
        assert got["host"] == vm.host and list(got["hosts"]) == [vm.host]
        assert "seq" not in got
        assert got["vms"][vm.id][0] == pytest.approx(1.0, rel=0.1)


@pytest.mark.parametrize("targets", ["name:other", []])
async def test_what_was_not_asked_for_is_not_sent_and_hosts_are(server: LiveServer, targets: Any) -> None:
    async with open_with(server.admin, server) as socket:
        await subscribed(socket, targets=targets)
        got = await until_frame(socket, a_sample)
        assert (got["vms"], len(got["hosts"])) == ({}, 1)


async def test_a_member_gets_no_number_of_a_vm_of_nobody(server: LiveServer) -> None:
    member = await server.member("bob", Role.OPERATOR)
    vm = await server.vm("test")
    async with open_with(member, server) as socket:
        await subscribed(socket, targets="*", interval_s=1)
        assert (await until_frame(socket, a_sample))["vms"] == {}
        await socket.send(json.dumps({"frame": "subscribe", "samples": {"targets": [vm.id], "interval_s": 1}}))
        await socket.send(json.dumps({"frame": "ping", "id": "after"}))
        await until_frame(socket, lambda f: f["frame"] == "pong")
        rounds = server.parts.metrics.latest.rounds[vm.host, "quick"].done
        while server.parts.metrics.latest.rounds[vm.host, "quick"].done < rounds + 1:
            await asyncio.sleep(0.05)
        await socket.send(json.dumps({"frame": "ping", "id": "round"}))
        assert (await frame(socket))["frame"] == "pong"


@pytest.mark.parametrize("wish", [{"targets": "colour:red"}, {"targets": "*", "interval_s": 0}, {"targets": 7}])
async def test_a_wish_that_is_not_understood_gets_a_problem(server: LiveServer, wish: dict[str, Any]) -> None:
    async with open_with(server.admin, server) as socket:
        await until_frame(socket, lambda f: f["frame"] == "inventory" and f["last"])
        await socket.send(json.dumps({"frame": "subscribe", "samples": wish}))
        assert (await until_frame(socket, lambda f: f["frame"] == "problem"))["problem"]["status"] == 400


async def test_without_a_wish_or_after_unsubscribing_there_are_none(server: LiveServer) -> None:
    async with open_with(server.admin, server) as socket:
        await subscribed(socket, targets="*", interval_s=1)
        await until_frame(socket, a_sample)
        for message in ({"frame": "unsubscribe"}, {"frame": "subscribe"}):
            await socket.send(json.dumps(message))
            await until_frame(socket, lambda f: f["frame"].endswith("subscribed"))
            assert not server.parts.stream._samples._subscriptions


async def test_the_client_tells_what_it_wants_and_changes_its_mind(server: LiveServer) -> None:
    vm = await server.vm("test")
    wishes = SampleSubscription()
    wishes.want(events.SampleRequest(targets=[]))
    async for update in stream(server.admin, subscription=wishes):
        if isinstance(update, events.SamplesFrame) and not update.vms:
            wishes.want(events.SampleRequest(targets=[vm.id]))
        elif isinstance(update, events.SamplesFrame):
            assert list(update.vms) == [vm.id]
            break


async def fill(board: Any, host_id: str, vm_ids: list[str], cpu_s: float) -> None:
    """A round of a host, as if it had been read."""
    domains = [DomainCounters(vm_id, 1, clock(), int(cpu_s * 1e9)) for vm_id in vm_ids]
    reading = Reading(group="quick", time=datetime.now(UTC), at=clock(), took_s=0.0, domains=domains)
    await board.record(host_id, reading, {}, 4, 5.0)


def apart(server: LiveServer) -> tuple[LatestSamples, InventoryState]:
    """A board and a picture as the server's is now, that its own rounds and re-reads do not touch."""
    state, now = InventoryState(), server.parts.inventory.state
    state.views.update(now.views)
    state.known.update(now.known)
    return LatestSamples(), state


async def test_a_thousand_listeners_of_the_same_cost_one_frame_and_each_keeps_only_the_newest(
    server: LiveServer,
) -> None:
    vm = await server.vm("test")
    board, state = apart(server)
    samples = SampleStreamer(board, state)
    await fill(board, vm.host, [vm.id], 1)
    listeners = [Listener(replace(ANN, session_id=str(number))) for number in range(1000)]
    for listener in listeners:
        samples.subscribe(listener, events.SampleRequest(interval_s=1))
    for wish in samples._subscriptions.values():
        wish.sent_at.clear()
    before = samples.frames_encoded
    for cpu_s in (2, 3, 4):
        await fill(board, vm.host, [vm.id], cpu_s)
        for wish in samples._subscriptions.values():
            wish.sent_at.clear()
    assert samples.frames_encoded - before == 3, "one for each round, not one for each listener"
    sent = [listener.expand(listener.queue.get_nowait()) for listener in listeners]
    assert all(listener.queue.empty() for listener in listeners), "three rounds unsent take one place"
    assert all(len(frames) == 1 and frames[0] is sent[0][0] for frames in sent), "the very same bytes for all"
    assert listeners[0].expand(b"") == []


async def test_a_full_queue_loses_samples_and_no_event(server: LiveServer) -> None:
    vm = await server.vm("test")
    board, state = apart(server)
    samples = SampleStreamer(board, state)
    listener = Listener(ANN)
    while not listener.queue.full():
        listener.send(b"event")
    samples.subscribe(listener, events.SampleRequest())
    await fill(board, vm.host, [vm.id], 1)
    assert not listener.close_code.done(), "a listener is never cut off for samples"
    assert (listener.samples, listener.queue.qsize()) == ({}, listener.queue.maxsize)


async def test_many_vms_come_in_frames_that_a_client_takes(server: LiveServer) -> None:
    board, state = apart(server)
    vm = await server.vm("test")
    known = state.known[vm.host, vm.id]
    ids = [f"{number:08d}-0000-4000-8000-000000000000" for number in range(4000)]
    for vm_id in ids:
        state.set_known((vm.host, vm_id), known)
    samples = SampleStreamer(board, state)
    await fill(board, vm.host, ids, 1)
    await fill(board, vm.host, ids, 1)
    listener = Listener(ANN)
    samples.subscribe(listener, events.SampleRequest())
    frames = listener.expand(listener.queue.get_nowait())
    assert len(frames) == 3
    assert max(map(len, frames)) <= events.MAX_INVENTORY_PART_BYTES
    assert {vm_id for raw in frames for vm_id in json.loads(raw)["vms"]} == set(ids)


async def test_tiers_come_along_where_they_were_asked_for_and_may_be_seen(server: LiveServer) -> None:
    board, state = apart(server)
    vm = await server.vm("test")
    streamer = SampleStreamer(board, state)
    operator = await server.parts.access.authenticate(server.admin.credentials.token)
    asked, silent = Listener(operator), Listener(operator)
    streamer.subscribe(asked, events.SampleRequest(targets=[], tiers=True))
    streamer.subscribe(silent, events.SampleRequest(targets=[]))
    await fill(board, vm.host, [vm.id], 1.0)
    for listener, names in ((asked, ["hot", "warm", "cold"]), (silent, [])):
        (frames,) = listener.samples.values()
        sent = events.decode_frame(frames[0])
        assert isinstance(sent, events.SamplesFrame)
        assert list(sent.tiers) == names
        assert all(sample.read_bytes_s is None for sample in sent.tiers.values()), "nobody measured it: no zero"
