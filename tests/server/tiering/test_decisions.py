"""The history of decisions: who reads what of it, for how long, and what a tier's latency means for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from novacron_core import errors
from novacron_core.api import automatic, tiering, volumes
from novacron_core.api.automatic import AutomaticChange, AutomaticPolicy, PairChange, PairPolicy
from novacron_core.api.base import ListQuery
from novacron_core.api.tiering import PolicyChange
from novacron_core.api.volumes import Volume, VolumeCreate
from novacron_core.client import Client
from novacron_core.values.roles import Role
from novacron_core.values.sizes import MIB
from novacron_server.database.repository import store_setting
from novacron_server.runtime.retention import DECISIONS_KEPT, heat_retention_job
from novacron_server.tiering.automatic_moves import repository as decisions
from novacron_server.tiering.automatic_moves.repository import Decided
from novacron_server.tiering.latencies import TierLatencies
from tests.support.api_tokens import with_token
from tests.support.requests import succeeded, three_pools
from tests.support.server import LiveServer
from tests.support.tenants import add_tenant, member_of

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


async def made(server: LiveServer, client: Client, name: str) -> Volume:
    operation = await client.call(volumes.CREATE, body=VolumeCreate(name=name, size_bytes=16 * MIB))
    done = await succeeded(server, operation)
    return await client.call(volumes.GET, volume_id=done.target.id)


def decided(volume: Volume, at: datetime = NOW, **more: Any) -> Decided:
    values = {"result": "held", "cause": "refused", "reason": "secret-vm is busy", **more}
    return Decided(
        id=str(uuid4()), at=at, last_at=at, host=volume.host, volume=volume.id, name=volume.name, tenant=volume.tenant,
        source="hot", target="warm", **values,
    )  # fmt: skip


async def names(client: Client, q: str = "") -> list[str]:
    return [each.name for each in (await client.call(automatic.DECISIONS, query=ListQuery(q=q))).items]


async def test_each_tenant_reads_its_own_decisions(server: LiveServer, owner_url: str) -> None:
    await three_pools(server)
    await add_tenant(owner_url, "red")
    red = await member_of(server, owner_url, "ron", "red", Role.OPERATOR)
    ours, theirs = await made(server, server.admin, "ours"), await made(server, red, "theirs")
    rows = [decided(ours, NOW - timedelta(hours=1)), decided(theirs)]
    await server.parts.database.run(lambda c: decisions.write(c, rows))
    assert await names(server.admin) == ["red~theirs", "ours"]
    assert await names(red) == ["red~theirs"]
    assert await names(server.admin, "ours warm") == ["ours"]
    assert await names(server.admin, "ours cold") == []
    operation = await red.call(volumes.DELETE, volume_id=theirs.id)
    await succeeded(server, operation)
    assert await names(red) == ["red~theirs"], "a year later its volume may be gone"
    assert await names(red, "secret-vm") == [], "a search tells nothing that is not shown"
    assert await names(server.admin, "secret-vm") == ["red~theirs", "ours"]
    (one,) = (await red.call(automatic.DECISIONS)).items
    assert one.reason == "it could not be moved then"
    (known,) = (await server.admin.call(automatic.DECISIONS, query=ListQuery(q="theirs"))).items
    assert known.reason == "secret-vm is busy"
    async with await with_token(server, red, filter="tag:ci") as script:
        assert await names(script) == []
    for query in (ListQuery(sort="name"), ListQuery(q=" ".join("abcdefghijklmnopqrstuvwxyz" * 3))):
        with pytest.raises(errors.ValidationFailed):
            await server.admin.call(automatic.DECISIONS, query=query)


async def test_decisions_can_be_read_a_year_later(server: LiveServer) -> None:
    await three_pools(server)
    volume = await made(server, server.admin, "old")
    kept = [decided(volume, NOW - timedelta(days=days), reason=f"{days} days") for days in (1, 366)]
    gone = decided(volume, NOW - DECISIONS_KEPT - timedelta(hours=1), reason="gone")
    await server.parts.database.run(lambda c: decisions.write(c, [*kept, gone]))
    await heat_retention_job(server.parts.database, timedelta(days=90)).run(NOW)
    found = (await server.admin.call(automatic.DECISIONS)).items
    assert [each.reason for each in found] == ["1 days", "366 days"]


async def test_what_a_change_does_not_name_stays(server: LiveServer) -> None:
    async def change(body: AutomaticChange) -> Any:
        policy = await server.admin.call(tiering.SET_POLICY, body=PolicyChange(automatic=body))
        assert policy == await server.admin.call(tiering.POLICY)
        return policy.automatic

    await change(AutomaticChange(stop_ms=20, pairs={"warm-to-hot": PairChange(enabled=True, window="22:00-06:00")}))
    found = await change(AutomaticChange(pairs={"warm-to-hot": PairChange(bandwidth_bytes_s=MIB)}))
    assert (found.enabled, found.stop_ms) == (False, 20)
    assert found.pairs == {"warm-to-hot": PairPolicy(enabled=True, bandwidth_bytes_s=MIB, window="22:00-06:00")}
    with pytest.raises(errors.ValidationFailed) as refused:
        await change(AutomaticChange(pairs={"hot-to-cold": PairChange(window="at night")}))
    assert [field.field for field in refused.value.fields] == ["automatic.pairs.hot-to-cold.window"]
    assert (await server.admin.call(tiering.POLICY)).automatic == found
    await server.parts.database.run(server.parts.heat.policies.load)
    assert (await server.admin.call(tiering.POLICY)).automatic == found


@pytest.mark.parametrize(
    "damaged",
    [{"enabled": True, "time_zone": "Mars/Olympus"}, {"pairs": {"hot-to-hot": {}}}, {"stop_ms": -1}, 7,
     {"enabled": True, "pairs": {"hot-to-warm": {"enabled": True, "window": "at night"}}}],
)  # fmt: skip
async def test_stored_settings_that_cannot_be_turn_automatic_moves_off_and_change_nothing_else(
    server: LiveServer, damaged: Any
) -> None:
    stored = {"high_mark": 0.7, "low_mark": 0.6, "automatic": damaged}
    await server.parts.database.run(lambda c: store_setting(c, "storage.policy", stored))
    await server.parts.database.run(server.parts.heat.policies.load)
    policy = await server.admin.call(tiering.POLICY)
    assert (policy.high_mark, policy.automatic) == (0.7, AutomaticPolicy())
    assert not (await server.admin.call(automatic.STATUS)).enabled


async def test_decision_of_a_tenant_that_was_deleted_is_stored_and_of_no_tenant(server: LiveServer) -> None:
    await three_pools(server)
    volume = await made(server, server.admin, "left")
    gone = msgspec.structs.replace(decided(volume), tenant="gone")
    await server.parts.database.run(lambda c: decisions.write(c, [gone]))
    odd = msgspec.structs.replace(decided(volume), source="lukewarm", result="moving")
    await server.parts.database.run(lambda c: decisions.write(c, [odd]))
    await server.parts.heat.automatic.load()
    assert await names(server.admin) == ["left"], "a row that cannot be is left out"


async def test_only_administrators_turn_it_on(server: LiveServer) -> None:
    async with await server.member("otto", Role.OPERATOR) as otto:
        with pytest.raises(errors.Forbidden):
            await otto.call(tiering.SET_POLICY, body=PolicyChange(automatic=AutomaticChange(enabled=True)))
        assert not (await otto.call(automatic.STATUS)).enabled


def test_latency_of_the_last_minutes_and_the_usual_one() -> None:
    now = 1_000_000.0 - 1_000_000.0 % 3600 + 1800
    latencies = TierLatencies()
    assert (latencies.recent_p90("h", "hot", now), latencies.usual_p90("h", "hot", now)) == (None, None)
    for hour in range(1, 13):
        for _ in range(10):
            latencies.add("h", "hot", 100.0 if hour == 3 else 2.0, now - hour * 3600)
    assert latencies.usual_p90("h", "hot", now) == pytest.approx(2.0, rel=0.1), "an hour of backups is not usual"
    assert latencies.recent_p90("h", "hot", now) is None
    for _ in range(9):
        latencies.add("h", "hot", 30.0, now)
    assert latencies.recent_p90("h", "hot", now) is None, "few readings say nothing"
    latencies.add("h", "hot", 30.0, now)
    assert latencies.recent_p90("h", "hot", now) == pytest.approx(30.0, rel=0.1)
    assert latencies.recent_p90("h", "warm", now) is None
    assert latencies.usual_p90("h", "hot", now) == pytest.approx(2.0, rel=0.1), "this hour is no part of it"
    assert latencies.recent_p90("h", "hot", now + 6 * 60) is None
    assert latencies.recent_p90("h", "hot", now - 6 * 60) is None, "a clock that was set back"
