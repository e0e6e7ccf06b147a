"""What a member reads of tiers and pools counts what he sees, and so tells nothing of other tenants."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from novacron_core.api import hosts, pools, stored_events, tiers, usage, vms, volumes
from novacron_core.api.hosts import HostStatus
from novacron_core.api.volumes import VolumeCreate
from novacron_core.client import Client
from novacron_core.values.roles import Role
from novacron_server.inventory.change_events import pool_change, pool_refreshed
from tests.support.api_tokens import with_token
from tests.support.event_stream import open_stream
from tests.support.images import add_image
from tests.support.requests import succeeded, three_pools, vm_request
from tests.support.server import LiveServer
from tests.support.tenants import add_tenant, member_of
from tests.support.waiting import until

MIB = 1 << 20
REFRESHES = ("tier.updated", "pool.updated")
pytestmark = pytest.mark.usefixtures("red")


@pytest.fixture
async def red(server: LiveServer, owner_url: str) -> Client:
    """An operator of another tenant, which has one volume of 8 MiB in hot; the default one has two of 16 MiB."""
    await three_pools(server)
    await add_tenant(owner_url, "red")
    ron = await member_of(server, owner_url, "ron", "red", Role.OPERATOR)
    for client, name, size in ((ron, "rons", 8), (server.admin, "first", 16), (server.admin, "second", 16)):
        body = VolumeCreate(name=name, size_bytes=size * MIB)
        await succeeded(server, await client.call(volumes.CREATE, body=body))
    return ron


async def hot(client: Client) -> tiers.Tier:
    return next(tier for tier in (await client.call(tiers.LIST)).items if tier.name == "hot")


async def in_pools(client: Client) -> int:
    return sum(pool.volumes for pool in (await client.call(pools.LIST)).items if pool.tier == "hot")


async def test_tiers_and_pools_count_what_the_reader_sees(server: LiveServer, red: Client) -> None:
    for client, count, size in ((red, 1, 8), (server.admin, 3, 40)):
        tier = await hot(client)
        assert (tier.volumes, tier.provisioned_bytes, await in_pools(client)) == (count, size * MIB, count)
    own, all_of_it = await hot(red), await hot(server.admin)
    assert own.capacity_bytes == all_of_it.capacity_bytes, "what a volume has room in is the same disk"


async def test_token_that_is_limited_to_some_vms_counts_none_of_the_others(server: LiveServer, red: Client) -> None:
    async with await with_token(server, red, filter="tag:ci") as script:
        tier = await hot(script)
        assert (tier.volumes, tier.provisioned_bytes, tier.allocated_bytes, await in_pools(script)) == (0, 0, 0, 0)


async def test_event_stream_tells_the_same(server: LiveServer, red: Client) -> None:
    assert red.credentials.token
    async with open_stream(server, token=red.credentials.token) as stream:
        first = [each for frame in stream.frames for each in frame.get("tiers", ())]
        assert [each["volumes"] for each in first if each["name"] == "hot"] == [1]
        found = [each for frame in stream.frames for each in frame.get("pools", ()) if each["tier"] == "hot"]
        assert sum(each["volumes"] for each in found) == 1
        seen = len(stream.frames)
        await others_volume_is_counted(server, "third")
        body = VolumeCreate(name="rons-second", size_bytes=8 * MIB)
        await succeeded(server, await red.call(volumes.CREATE, body=body))
        await stream.until(lambda frame: is_tier_with(frame, 2))
        counts = {
            kind: [f["value"]["volumes"] for f in stream.frames[seen:] if f["frame"] == "event" and f["type"] == kind]
            for kind in REFRESHES
        }
        assert counts["tier.updated"] == [2], "what changed for others alone is no event"
        assert set(counts["pool.updated"]) <= {2}


async def test_missed_and_stored_events_tell_nothing_of_other_tenants(server: LiveServer, red: Client) -> None:
    async with open_stream(server) as stream:
        after = stream.frames[-1]["seq"]
    for name in ("third", "fourth", "fifth"):
        await others_volume_is_counted(server, name)
    async with open_stream(server, f"?after={after}", token=red.credentials.token or "") as stream:
        values = await stream.until(lambda frame: frame["frame"] == "values")
        assert [frame["frame"] for frame in stream.frames] == ["hello", "values"]
        assert [tier["volumes"] for tier in values["tiers"] if tier["name"] == "hot"] == [1]
        assert sum(pool["volumes"] for pool in values["pools"]) == 1
        assert {pool["path"] for pool in values["pools"]} == {""}
    listed = (await red.call(stored_events.LIST, query=stored_events.EventQuery(page_size=500))).items
    assert "volume.created" in {event.type for event in listed}
    # That a pool has just been started may have been seen, and tells nothing of anybody.
    assert not {event.type for event in listed if event.before is None}.intersection(REFRESHES)
    listed = (await server.admin.call(stored_events.LIST, query=stored_events.EventQuery(page_size=500))).items
    assert "tier.updated" in {event.type for event in listed}


async def others_volume_is_counted(server: LiveServer, name: str) -> None:
    """The default tenant creates a volume of 16 MiB in hot, and the server has told everybody about it."""
    async with open_stream(server) as everything:
        before = (await hot(server.admin)).volumes
        body = VolumeCreate(name=name, size_bytes=16 * MIB)
        await succeeded(server, await server.admin.call(volumes.CREATE, body=body))
        await everything.until(lambda frame: is_tier_with(frame, before + 1))


def is_tier_with(frame: dict[str, Any], count: int) -> bool:
    return bool(frame["frame"] == "event" and frame["type"] == "tier.updated" and frame["value"]["volumes"] == count)


async def test_volume_that_leaves_the_tenant_is_no_longer_counted(server: LiveServer, red: Client) -> None:
    volume = next(each for each in (await red.call(volumes.LIST)).items if each.name == "red~rons")
    await succeeded(server, await red.call(volumes.DELETE, volume_id=volume.id))

    async def is_gone() -> bool:
        return (await hot(red)).volumes == 0

    await until(is_gone)
    assert (await hot(server.admin)).volumes == 2


async def test_change_whose_event_comes_after_a_resume_is_not_missed(
    server: LiveServer, red: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The facts change first, and their event is folded later: meanwhile a reader may come."""
    token = red.credentials.token or ""
    async with open_stream(server, token=token) as first:
        after = first.frames[-1]["seq"]
        storage = server.parts.inventory.state.storage
        pool = next(each for each in storage.pools() if each.tier == "hot")
        broken, unpatched = msgspec.structs.replace(pool, problem="its disk is broken"), storage.pools
        monkeypatch.setattr(storage, "pools", lambda: [broken if p.id == pool.id else p for p in unpatched()])
        monkeypatch.setattr(storage, "pool", lambda pool_id: broken if pool_id == pool.id else None)
        async with open_stream(server, f"?after={after}", token=token) as second:
            values = await second.until(lambda frame: frame["frame"] == "values")
            assert "its disk is broken" in {each["problem"] for each in values["pools"]}
            server.parts.inventory.publisher.publish(pool_refreshed(broken))
            assert (await first.event("pool.updated"))["value"]["problem"] == "its disk is broken"


async def test_no_path_of_a_host_reaches_a_member(server: LiveServer, red: Client) -> None:
    why = "cannot create directory '/srv/secret/hot': Permission denied"
    pool = next(each for each in (await server.admin.call(pools.LIST)).items if each.tier == "hot")
    broken = msgspec.structs.replace(pool, active=False, problem=why)
    server.parts.inventory.state.storage.notes[pool.host, "hot"] = f"h: {why}"
    red_token = red.credentials.token or ""
    async with open_stream(server, token=red_token) as told, open_stream(server) as admins:
        server.parts.inventory.publisher.publish(pool_change(pool, broken))
        theirs, whole = await told.event("pool.updated"), await admins.event("pool.updated")
    assert (whole["note"], whole["reason"]) == (why, why)
    assert (theirs["note"], theirs["reason"]) == ("cannot create directory '…': Permission denied",) * 2
    assert "/srv" in " ".join((await hot(server.admin)).notes)
    shown = [await hot(red), (await red.call(stored_events.LIST, query=stored_events.EventQuery())).items]
    assert "Permission denied" in str(shown)
    assert "/srv" not in str(shown)


async def test_no_path_of_a_lost_host_reaches_a_member(server: LiveServer, red: Client) -> None:
    add_image(server.data_dir)
    await succeeded(server, await red.call(vms.CREATE, body=vm_request("x1")))
    state = server.parts.inventory.state
    view = next(iter(state.views.values()))
    state.set_view(replace(view, status=HostStatus.DOWN, detail="cannot connect to '/srv/secret dir/sock': refused"))
    shown = [(await red.call(vms.LIST)).items, await red.call(usage.NOW), (await red.call(hosts.LIST)).items]
    assert all("its libvirt accepts no connection" in str(each) for each in shown), shown
    assert "secret" not in str(shown)
    assert "/srv/secret dir/sock" in str((await server.admin.call(hosts.LIST)).items)
