"""Tiers and pools through a whole server on libvirt's test driver."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import cast

import libvirt
import pytest

from novacron_core import errors
from novacron_core.api import operations, pools, tiers, vms, volumes
from novacron_core.api.events import InventoryFrame
from novacron_core.api.nouns import POOLS, TIERS
from novacron_core.api.operations import Operation, OperationState
from novacron_core.api.pools import Pool, PoolTier
from novacron_core.api.tiers import Tier
from novacron_core.client import Update
from novacron_core.client.stream import stream
from novacron_core.values.roles import Role
from novacron_server.database.transactions import Database
from tests.support.requests import pools_named, three_pools
from tests.support.server import LiveServer
from tests.support.waiting import until

UNMANAGED_POOL = """<pool type='dir'><name>isos</name><uuid>11111111-2222-3333-4444-555555555555</uuid>
<target><path>/srv/isos</path></target></pool>"""


async def tiers_named(server: LiveServer) -> dict[str, Tier]:
    return {tier.name: tier for tier in (await server.admin.call(tiers.LIST)).items}


async def succeeded(server: LiveServer, operation: Operation) -> Operation:
    ended = await server.ended(operation)
    assert ended.state is OperationState.SUCCEEDED, ended.problem
    return ended


@pytest.fixture
async def isos(server: LiveServer, libvirt_connection: libvirt.virConnect) -> Pool:
    """A pool that was created outside NovaCron."""
    await three_pools(server)
    libvirt_connection.storagePoolDefineXML(UNMANAGED_POOL, 0).create(0)

    async def seen() -> Pool | None:
        return (await pools_named(server)).get("isos")

    return await until(seen)


async def test_new_host_gets_three_managed_pools_and_the_tiers_count_them(server: LiveServer) -> None:
    found = await three_pools(server)
    instance = server.parts.reconciler._instance.replace("-", "")[:8]
    assert {name: (pool.tier, pool.managed, pool.active) for name, pool in found.items()} == {
        f"novacron-{instance}-{tier}": (tier, True, True) for tier in ("hot", "warm", "cold")
    }
    listed = (await server.admin.call(tiers.LIST)).items
    assert [tier.name for tier in listed] == ["hot", "warm", "cold"]
    hot = listed[0]
    assert hot.capacity_bytes == found[f"novacron-{instance}-hot"].capacity_bytes
    assert (hot.read_bytes_s, hot.reads_s, hot.rates_at) == (None, None, None)  # not measured is not zero
    assert not hot.disks_known  # a simulated disk shares nothing


async def test_vm_is_created_in_the_requested_tier(server: LiveServer, image: str) -> None:
    await three_pools(server)
    body = vms.VMCreate(name="web-01", image="empty", memory_bytes=32 << 20, tier="cold")
    await succeeded(server, await server.admin.call(vms.CREATE, body=body))
    vm = await server.vm("web-01")
    assert (vm.tier, vm.disks[0].tier) == ("cold", "cold")
    volume = next(v for v in (await server.admin.call(volumes.LIST)).items if v.id == vm.disks[0].volume)
    assert (volume.tier, volume.vm, volume.role, volume.unmanaged) == ("cold", vm.id, "disk", False)
    cold = (await tiers_named(server))["cold"]
    assert (cold.volumes, cold.provisioned_bytes) == (1, 8 << 20)


async def test_pool_is_assigned_to_a_tier_and_removed(server: LiveServer, isos: Pool) -> None:
    before = (await tiers_named(server))["warm"]
    assert (isos.tier, isos.managed) == (None, False)
    await succeeded(server, await server.admin.call(pools.SET_TIER, body=PoolTier(tier="warm"), pool_id=isos.id))
    assert (await pools_named(server))["isos"].tier == "warm"
    warm = (await tiers_named(server))["warm"]
    assert isos.id in warm.pools
    assert before.capacity_bytes is not None
    assert isos.capacity_bytes is not None
    assert warm.capacity_bytes == before.capacity_bytes + isos.capacity_bytes
    await succeeded(server, await server.admin.call(pools.SET_TIER, body=PoolTier(tier=None), pool_id=isos.id))
    assert (await pools_named(server))["isos"].tier is None
    assert (await tiers_named(server))["warm"].capacity_bytes == before.capacity_bytes


async def test_tier_of_a_pool_is_stored(server: LiveServer, isos: Pool, database: Database) -> None:
    from novacron_server.pools import repository

    await succeeded(server, await server.admin.call(pools.SET_TIER, body=PoolTier(tier="cold"), pool_id=isos.id))
    rows = await database.run(repository.all_rows, read_only=True)
    assert [(row.name, row.tier) for row in rows] == [("isos", "cold")]


async def test_managed_pools_keep_their_tier(server: LiveServer) -> None:
    hot = next(pool for pool in (await three_pools(server)).values() if pool.tier == "hot")
    with pytest.raises(errors.Conflict, match="managed by NovaCron"):
        await server.admin.call(pools.SET_TIER, body=PoolTier(tier="cold"), pool_id=hot.id)


async def test_only_administrators_assign_pools_to_tiers(server: LiveServer, isos: Pool) -> None:
    bob = await server.member("bob", Role.OPERATOR)
    assert (await bob.call(tiers.LIST)).total == 3
    with pytest.raises(errors.Forbidden):
        await bob.call(pools.SET_TIER, body=PoolTier(tier="warm"), pool_id=isos.id)
    with pytest.raises(errors.NotFound, match="pool not found"):
        await server.admin.call(pools.SET_TIER, body=PoolTier(tier="warm"), pool_id="nothing")
    await bob.close()


async def test_inactive_pool_has_no_sizes_and_its_tier_says_so(
    server: LiveServer, libvirt_connection: libvirt.virConnect
) -> None:
    warm = next(pool for pool in (await three_pools(server)).values() if pool.tier == "warm")
    libvirt_connection.storagePoolLookupByName(warm.name).destroy()

    async def shown_inactive() -> Pool | None:
        found = (await pools_named(server))[warm.name]
        return None if found.active else found

    found = await until(shown_inactive)
    assert (found.capacity_bytes, found.available_bytes) == (None, None)
    tier = (await tiers_named(server))["warm"]
    assert (tier.capacity_bytes, tier.notes) == (None, [f"the pool {warm.name} is inactive"])


async def test_pools_and_tiers_are_sent_on_the_stream(server: LiveServer, isos: Pool) -> None:
    frames = cast(AsyncGenerator[Update, None], stream(server.admin))
    shown: dict[str, set[str]] = {"pools": set(), "tiers": set()}
    async for frame in frames:
        if isinstance(frame, InventoryFrame):
            shown["pools"] |= {pool.name for pool in frame.of(POOLS)}
            shown["tiers"] |= {tier.name for tier in frame.of(TIERS)}
            if frame.last:
                break
    assert shown["tiers"] == {"hot", "warm", "cold"}
    assert "isos" in shown["pools"]
    await server.admin.call(pools.SET_TIER, body=PoolTier(tier="warm"), pool_id=isos.id)
    named_pools: dict[str, Pool] = {}
    named_tiers: dict[str, Tier] = {}
    async for frame in frames:
        value = frame.decoded() if hasattr(frame, "decoded") else None
        if isinstance(value, Pool):
            named_pools[value.name] = value
        elif isinstance(value, Tier):
            named_tiers[value.name] = value
        if "isos" in named_pools and "warm" in named_tiers and isos.id in named_tiers["warm"].pools:
            break
    await frames.aclose()
    assert named_pools["isos"].tier == "warm"


async def test_repeated_request_has_one_effect(server: LiveServer, isos: Pool) -> None:
    repeated = [
        await server.admin.call(pools.SET_TIER, body=PoolTier(tier="warm"), pool_id=isos.id, idempotency_key="k1")
        for _ in range(2)
    ]
    assert repeated[0].id == repeated[1].id
    found = await server.admin.call(operations.LIST)
    assert found.total == 1
