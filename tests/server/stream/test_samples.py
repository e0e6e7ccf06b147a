"""Samples on the event stream: sent to subscribers that may see them, encoded once, and only the newest."""

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
from novacron_core.rules.filters.language import FilterError
from novacron_core.rules.visibility import Principal
from novacron_core.values.roles import Role
from novacron_server.hypervisor.statistics.counters import DomainCounters, Reading
from novacron_server.hypervisor.statistics.reader import clock
from novacron_server.inventory.state import InventoryState
from novacron_server.metrics.latest import LatestSamples
from novacron_server.stream.hub import Listener
from novacron_server.stream.samples import SampleStreamer
from novacron_server.tiering.book import HeatBook
from novacron_server.tiering.clock import HeatClock
from novacron_server.tiering.shown import ShownHeat
from tests.support.event_stream import frame, open_with, until_frame
from tests.support.server import LiveServer

ANN = Principal("1", "ann", Role.ADMINISTRATOR, "default", "s", datetime.max.replace(tzinfo=UTC))


async def subscribed(socket: ClientConnection, **samples: Any) -> None:
    await until_frame(socket, lambda f: f["frame"] == "inventory" and f["last"])
    await socket.send(json.dumps({"frame": "subscribe", "samples": samples}))
    await until_frame(socket, lambda f: f["frame"] == "subscribed")


def is_samples_frame(f: dict[str, Any]) -> bool:
    return bool(f["frame"] == "samples")


@pytest.mark.parametrize("targets", ["*", "name:test", "ids"])
async def test_subscriber_gets_the_samples_of_its_targets(server: LiveServer, targets: Any) -> None:
    vm = await server.vm("test")
    async with open_with(server.admin, server) as socket:
        hello = await until_frame(socket, lambda f: f["frame"] == "hello")
        assert hello["samples"] is True
        await subscribed(socket, targets=[vm.id] if targets == "ids" else targets, interval_s=1)
        got = await until_frame(
            socket, lambda f: is_samples_frame(f) and vm.id in f["vms"] and f["vms"][vm.id][0] is not None
        )
        assert got["host"] == vm.host and list(got["hosts"]) == [vm.host]
        assert "seq" not in got
        assert got["vms"][vm.id][0] == pytest.approx(1.0, rel=0.1)


@pytest.mark.parametrize("targets", ["name:other", []])
async def test_hosts_are_sent_even_without_matching_vms(server: LiveServer, targets: Any) -> None:
    async with open_with(server.admin, server) as socket:
        await subscribed(socket, targets=targets)
        got = await until_frame(socket, is_samples_frame)
        assert (got["vms"], len(got["hosts"])) == ({}, 1)


async def test_operator_gets_no_sample_of_an_unmanaged_vm(server: LiveServer) -> None:
    member = await server.member("bob", Role.OPERATOR)
    vm = await server.vm("test")
    async with open_with(member, server) as socket:
        await subscribed(socket, targets="*", interval_s=1)
        assert (await until_frame(socket, is_samples_frame))["vms"] == {}
        await socket.send(json.dumps({"frame": "subscribe", "samples": {"targets": [vm.id], "interval_s": 1}}))
        await socket.send(json.dumps({"frame": "ping", "id": "after"}))
        await until_frame(socket, lambda f: f["frame"] == "pong")
        rounds = server.parts.metrics.latest.rounds[vm.host, "quick"].done
        while server.parts.metrics.latest.rounds[vm.host, "quick"].done < rounds + 1:
            await asyncio.sleep(0.05)
        await socket.send(json.dumps({"frame": "ping", "id": "round"}))
        assert (await frame(socket))["frame"] == "pong"


@pytest.mark.parametrize(
    "sample_request", [{"targets": "colour:red"}, {"targets": "*", "interval_s": 0}, {"targets": 7}]
)
async def test_invalid_sample_request_gets_a_problem(server: LiveServer, sample_request: dict[str, Any]) -> None:
    async with open_with(server.admin, server) as socket:
        await until_frame(socket, lambda f: f["frame"] == "inventory" and f["last"])
        await socket.send(json.dumps({"frame": "subscribe", "samples": sample_request}))
        assert (await until_frame(socket, lambda f: f["frame"] == "problem"))["problem"]["status"] == 400


async def test_no_samples_without_a_request_or_after_unsubscribing(server: LiveServer) -> None:
    async with open_with(server.admin, server) as socket:
        await subscribed(socket, targets="*", interval_s=1)
        await until_frame(socket, is_samples_frame)
        for message in ({"frame": "unsubscribe"}, {"frame": "subscribe"}):
            await socket.send(json.dumps(message))
            await until_frame(socket, lambda f: f["frame"].endswith("subscribed"))
            assert not server.parts.stream._samples._subscriptions


async def test_client_can_change_its_sample_request(server: LiveServer) -> None:
    vm = await server.vm("test")
    wishes = SampleSubscription()
    wishes.want(events.SampleRequest(targets=[]))
    async for update in stream(server.admin, subscription=wishes):
        if isinstance(update, events.SamplesFrame) and not update.vms:
            wishes.want(events.SampleRequest(targets=[vm.id]))
        elif isinstance(update, events.SamplesFrame):
            assert list(update.vms) == [vm.id]
            break


async def record_reading(latest: Any, host_id: str, vm_ids: list[str], cpu_s: float) -> None:
    """Record a reading of a host, as if it had been read."""
    domains = [DomainCounters(vm_id, 1, clock(), int(cpu_s * 1e9)) for vm_id in vm_ids]
    reading = Reading(group="quick", time=datetime.now(UTC), at=clock(), took_s=0.0, domains=domains)
    await latest.record(host_id, reading, {}, 4, 5.0)


def copy_state(server: LiveServer) -> tuple[LatestSamples, InventoryState]:
    """Copies of the server's latest samples and inventory state that its own reads do not change."""
    state, now = InventoryState(), server.parts.inventory.state
    state.views.update(now.views)
    state.known.update(now.known)
    return LatestSamples(), state


def streamer_of(latest: LatestSamples, state: InventoryState) -> SampleStreamer:
    return SampleStreamer(latest, state, ShownHeat(HeatBook(state.storage, HeatClock())))


async def test_thousand_equal_subscriptions_cost_one_frame_and_keep_only_the_newest(
    server: LiveServer,
) -> None:
    vm = await server.vm("test")
    latest, state = copy_state(server)
    samples = streamer_of(latest, state)
    await record_reading(latest, vm.host, [vm.id], 1)
    listeners = [Listener(replace(ANN, session_id=str(number))) for number in range(1000)]
    for listener in listeners:
        samples.subscribe(listener, events.SampleRequest(interval_s=1))
    for subscription in samples._subscriptions.values():
        subscription.sent_at.clear()
    before = samples.frames_encoded
    for cpu_s in (2, 3, 4):
        await record_reading(latest, vm.host, [vm.id], cpu_s)
        for subscription in samples._subscriptions.values():
            subscription.sent_at.clear()
    assert samples.frames_encoded - before == 3, "one frame per round, not per listener"
    sent = [listener.expand(listener.queue.get_nowait()) for listener in listeners]
    assert all(listener.queue.empty() for listener in listeners), "three unsent rounds take one queue entry"
    assert all(len(frames) == 1 and frames[0] is sent[0][0] for frames in sent), "the same bytes for all listeners"
    assert listeners[0].expand(b"") == []


async def test_full_queue_drops_samples_but_no_event(server: LiveServer) -> None:
    vm = await server.vm("test")
    latest, state = copy_state(server)
    samples = streamer_of(latest, state)
    listener = Listener(ANN)
    while not listener.queue.full():
        listener.send(b"event")
    samples.subscribe(listener, events.SampleRequest())
    await record_reading(latest, vm.host, [vm.id], 1)
    assert not listener.close_code.done(), "samples never disconnect a listener"
    assert (listener.samples, listener.queue.qsize()) == ({}, listener.queue.maxsize)


async def test_samples_of_many_vms_are_split_into_accepted_frames(server: LiveServer) -> None:
    latest, state = copy_state(server)
    vm = await server.vm("test")
    known = state.known[vm.host, vm.id]
    ids = [f"{number:08d}-0000-4000-8000-000000000000" for number in range(4000)]
    for vm_id in ids:
        state.set_known((vm.host, vm_id), known)
    samples = streamer_of(latest, state)
    await record_reading(latest, vm.host, ids, 1)
    await record_reading(latest, vm.host, ids, 1)
    listener = Listener(ANN)
    samples.subscribe(listener, events.SampleRequest())
    frames = listener.expand(listener.queue.get_nowait())
    assert len(frames) == 3
    assert max(map(len, frames)) <= events.MAX_INVENTORY_PART_BYTES
    assert {vm_id for raw in frames for vm_id in json.loads(raw)["vms"]} == set(ids)


async def test_tier_samples_are_sent_if_requested_and_permitted(server: LiveServer) -> None:
    latest, state = copy_state(server)
    vm = await server.vm("test")
    streamer = streamer_of(latest, state)
    operator = await server.parts.access.authenticate(server.admin.credentials.token)
    subscriber, other = Listener(operator), Listener(operator)
    streamer.subscribe(subscriber, events.SampleRequest(targets=[], tiers=True))
    streamer.subscribe(other, events.SampleRequest(targets=[]))
    await record_reading(latest, vm.host, [vm.id], 1.0)
    for listener, names in ((subscriber, ["hot", "warm", "cold"]), (other, [])):
        (frames,) = listener.samples.values()
        sent = events.decode_frame(frames[0])
        assert isinstance(sent, events.SamplesFrame)
        assert list(sent.tiers) == names
        assert all(sample.read_bytes_s is None for sample in sent.tiers.values()), "not measured: not zero"


async def test_sample_filters_of_one_user_are_bounded_together(server: LiveServer) -> None:
    samples = streamer_of(*copy_state(server))
    listeners = [Listener(replace(ANN, session_id=str(number))) for number in range(6)]
    for number, listener in enumerate(listeners[:4]):
        samples.subscribe(listener, events.SampleRequest(targets=f"x{number} " + "a " * 31, interval_s=1))
    with pytest.raises(FilterError, match="one user"):
        samples.subscribe(listeners[4], events.SampleRequest(targets="one-more", interval_s=1))
    samples.subscribe(listeners[4], events.SampleRequest(interval_s=1))
    samples.subscribe(Listener(replace(ANN, user_id="another")), events.SampleRequest(targets="a", interval_s=1))
    samples.unsubscribe(listeners[0])
    samples.subscribe(listeners[5], events.SampleRequest(targets="one-more", interval_s=1))
