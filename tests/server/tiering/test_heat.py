"""The heat of volumes as readers see it, from readings that a host has given."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import msgspec
import pytest

from novacron_core import errors
from novacron_core.api import tiering, vms, volumes
from novacron_core.api.base import ListQuery
from novacron_core.api.volumes import Volume, VolumeCreate
from novacron_core.client import Client
from novacron_core.values.roles import Role
from novacron_server.hypervisor.statistics.counters import DiskCounters, DomainCounters, Reading
from novacron_server.hypervisor.statistics.reader import clock
from tests.support.event_stream import open_stream
from tests.support.images import add_image
from tests.support.requests import succeeded, three_pools, vm_request
from tests.support.server import LiveServer
from tests.support.tenants import add_tenant, member_of

KIB = 1024


async def make_vm(server: LiveServer, client: Client, name: str) -> Volume:
    """A stopped VM; its disk."""
    made = await succeeded(server, await client.call(vms.CREATE, body=vm_request(name, start=False)))
    return next(each for each in (await client.call(volumes.LIST)).items if each.vm == made.target.id)


def read(server: LiveServer, disks: dict[Volume, int], at: float) -> None:
    """A reading of running VMs, each with so many reads of 4 KiB on its disk, of 3 ms each."""
    host = next(iter(server.parts.inventory.state.views))
    by_vm = {volume.vm: total for volume, total in disks.items()}
    found = []
    for vm_id, total in by_vm.items():
        disk = DiskCounters("vda", total * 4 * KIB, total, 0, 0, total * 3_000_000)
        found.append(DomainCounters(str(vm_id), 1, at, disks=(disk,)))
    reading = Reading(group="disks", time=datetime.now(UTC), at=at, took_s=0.0, domains=found)
    server.parts.heat.book.record((host, reading))


@pytest.fixture
async def red(server: LiveServer, owner_url: str) -> Client:
    await three_pools(server)
    add_image(server.data_dir)
    server.parts.metrics.latest.disks_read._listeners.clear()  # what is read here is what the tests say
    await add_tenant(owner_url, "red")
    return await member_of(server, owner_url, "ron", "red", Role.OPERATOR)


async def test_volumes_are_ranked_by_heat_per_gib(server: LiveServer, red: Client) -> None:
    quiet, busy = [await make_vm(server, server.admin, name) for name in ("quiet", "busy")]
    now = clock()
    for number in range(4):
        read(server, {quiet: 100 * number, busy: 3000 * number}, now + 15 * number)
    first, second = (await server.admin.call(tiering.LIST)).items
    assert (first.name, second.name) == (busy.name, quiet.name)
    assert first.fast == first.slow == 200
    assert first.heat == pytest.approx(200 / max(busy.allocated_bytes / (1 << 30), 1 / 1024), rel=0.01)
    assert (first.reads, first.writes, first.read_bytes, first.mean_bytes) == (9000, 0, 9000 * 4 * KIB, 4 * KIB)
    assert (first.sequential, first.observed_s, first.tier, first.vm) == (0.0, 45, busy.tier, busy.vm)
    assert first.accessed_at == first.as_of
    assert abs((first.as_of - datetime.now(UTC)).total_seconds() - 45) < 10
    found = (await server.admin.call(tiering.LIST, query=ListQuery(q="name:quiet", sort="fast"))).items
    assert [each.id for each in found] == [quiet.id]


async def test_history_shows_the_hours(server: LiveServer, red: Client) -> None:
    volume = await make_vm(server, server.admin, "busy")
    now = clock()
    for number in range(4):
        read(server, {volume: 3000 * number}, now + 15 * number)
    found = await server.admin.call(tiering.OF_VOLUME, volume_id=volume.id)
    assert found.now.fast == 200
    assert found.step_s % 3600 == 0
    assert len(found.operations_s) <= 200
    assert {value for value in found.operations_s if value is not None} == {200}
    assert {value for value in found.latency_ms if value is not None} == {3}
    await server.parts.heat.keeper.store(days=True)
    assert (await server.admin.call(tiering.OF_VOLUME, volume_id=volume.id)).operations_s == found.operations_s
    wide = await server.admin.call(tiering.OF_VOLUME, query=tiering.HeatQuery(days=1, points=1), volume_id=volume.id)
    assert wide.operations_s == [200]


async def test_members_see_the_heat_of_their_own_volumes_alone(server: LiveServer, red: Client) -> None:
    own, foreign = await make_vm(server, red, "own"), await make_vm(server, server.admin, "foreign")
    now = clock()
    for number in range(2):
        read(server, {own: 100 * number, foreign: 3000 * number}, now + 15 * number)
    assert [each.id for each in (await red.call(tiering.LIST)).items] == [own.id]
    with pytest.raises(errors.NotFound, match="volume not found"):
        await red.call(tiering.OF_VOLUME, volume_id=foreign.id)


async def test_volume_that_was_never_watched_has_no_heat_and_says_why(server: LiveServer, red: Client) -> None:
    server.parts.heat.book.volumes.clear()
    await succeeded(server, await server.admin.call(volumes.CREATE, body=VolumeCreate(name="new", size_bytes=1 << 24)))
    (volume,) = (await server.admin.call(volumes.LIST, query=ListQuery(q="name:new"))).items
    assert not [each for each in (await server.admin.call(tiering.LIST)).items if each.id == volume.id]
    with pytest.raises(errors.NotFound, match="new has no heat: its host was not read since it was made"):
        await server.admin.call(tiering.OF_VOLUME, volume_id=volume.id)
    host = next(iter(server.parts.inventory.state.views))
    nothing = Reading(group="disks", time=datetime.now(UTC), at=clock(), took_s=0.0, domains=[])
    server.parts.heat.book.record((host, nothing))
    server.parts.heat.keeper.look()
    found = await server.admin.call(tiering.OF_VOLUME, volume_id=volume.id)
    assert (found.now.fast, found.now.accessed_at) == (0, None)


async def test_stream_sends_the_heat_that_has_changed_to_who_may_see_it(server: LiveServer, red: Client) -> None:
    own, foreign = await make_vm(server, red, "own"), await make_vm(server, server.admin, "foreign")
    now = clock()
    for number in range(2):
        read(server, {own: 3000 * number, foreign: 3000 * number}, now + 15 * number)
    shown = server.parts.stream._samples._heat
    async with open_stream(server, token=red.credentials.token or "") as stream:
        assert stream.frames[0]["heat"] is True
        wanted = {"targets": [], "interval_s": 1, "heat": True}
        await stream.socket.send(json.dumps({"frame": "subscribe", "samples": wanted}))
        first = await stream.until(lambda frame: bool(frame.get("heat")))
        assert {volume: sample[:2] for volume, sample in first["heat"].items()} == {own.id: [200, 200]}
        read(server, {own: 60_000, foreign: 60_000}, now + 30)
        shown._refreshed_at = float("-inf")
        await stream.socket.send(
            json.dumps({"frame": "subscribe", "samples": wanted})
        )  # what was sent is not sent again
        second = await stream.until(lambda frame: frame is not first and bool(frame.get("heat")))
        assert {volume: sample[0] > 1000 for volume, sample in second["heat"].items()} == {own.id: True}


async def test_kernel_of_a_vm_is_not_listed_as_never_used(
    server: LiveServer, red: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = await make_vm(server, server.admin, "web-01")
    now = clock()
    for number in range(2):
        read(server, {disk: 3000 * number}, now + 15 * number)
    assert [each.id for each in (await server.admin.call(tiering.LIST)).items] == [disk.id]
    kernel = msgspec.structs.replace(disk, role="kernel")
    monkeypatch.setattr(server.parts.volumes, "list", lambda *_: [kernel])
    monkeypatch.setattr(server.parts.volumes, "get", lambda *_: kernel)
    assert (await server.admin.call(tiering.LIST)).items == []
    with pytest.raises(errors.NotFound, match=f"{disk.name} has no heat: it is the kernel of a VM"):
        await server.admin.call(tiering.OF_VOLUME, volume_id=disk.id)
