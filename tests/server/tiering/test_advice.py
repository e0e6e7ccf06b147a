"""Storage advice for readers: what it is made from, who sees what of it, and what operators say about single volumes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from novacron_core import errors
from novacron_core.api import audit, tiering, volumes
from novacron_core.api.base import ListQuery
from novacron_core.api.tiering import (
    AdviceQuery,
    PlacementChange,
    PolicyChange,
    Recommendation,
    StoragePolicy,
    TierClassChange,
)
from novacron_core.api.volumes import HIDDEN_VM, Volume, VolumeCreate
from novacron_core.client import Client
from novacron_core.rules.tiering.advice import TierSpace
from novacron_core.rules.tiering.heat import Heat
from novacron_core.rules.visibility import Principal
from novacron_core.values.roles import Role
from novacron_core.values.sizes import GIB, MIB
from novacron_core.values.tiers import TierName
from novacron_server.database.repository import store_setting
from novacron_server.tiering.advisor import Advisor
from novacron_server.tiering.book import KnownHeat
from novacron_tui.cli import tiering as cli
from novacron_tui.cli.runtime.output import Output
from tests.support.api_tokens import with_token
from tests.support.requests import succeeded, three_pools
from tests.support.server import LiveServer
from tests.support.tenants import add_tenant, member_of

DAY = 86_400.0
SPACES: dict[TierName, TierSpace] = {
    "hot": TierSpace(capacity_bytes=100 * GIB, used_bytes=60 * GIB, p50_ms=0.8, p90_ms=1.5),
    "warm": TierSpace(capacity_bytes=1000 * GIB, used_bytes=300 * GIB, p50_ms=6.0, p90_ms=9.1),
    "cold": TierSpace(capacity_bytes=1000 * GIB, used_bytes=100 * GIB),
}


@pytest.fixture
async def red(server: LiveServer, owner_url: str, monkeypatch: pytest.MonkeyPatch) -> Client:
    """An operator of another tenant. The host's tiers are those of SPACES, and it can move volumes."""
    await three_pools(server)
    server.parts.metrics.latest.disks_read._listeners.clear()
    monkeypatch.setattr(Advisor, "_spaces", lambda *_: (dict(SPACES), []))
    real = Advisor._why_not

    def why_not(advisor: Advisor, volume: Volume) -> str:
        return real(advisor, msgspec.structs.replace(volume, simulated=False))

    monkeypatch.setattr(Advisor, "_why_not", why_not)
    await add_tenant(owner_url, "red")
    return await member_of(server, owner_url, "ron", "red", Role.OPERATOR)


async def volume_with(
    server: LiveServer, client: Client, name: str, tier: TierName, rate: float, *, idle_s: float = 0.0, above: int = 3
) -> Volume:
    """A volume of a month's age with this many operations per second."""
    body = VolumeCreate(name=name, size_bytes=16 * MIB, tier=tier)
    made = await succeeded(server, await client.call(volumes.CREATE, body=body))
    volume = await client.call(volumes.GET, volume_id=made.target.id)
    now = server.parts.heat.book.clock.now()
    heat = Heat(at=now, fast=rate, slow=rate, observed_s=400 * DAY, accessed_at=now - idle_s)
    server.parts.heat.book.volumes[volume.id] = KnownHeat(volume.host, heat, above=above)
    return volume


async def advice(client: Client, *only: Volume) -> list[Recommendation]:
    query = AdviceQuery(volumes=",".join(volume.id for volume in only))
    return (await client.call(tiering.ADVICE, query=query)).recommendations


async def test_hot_volume_is_named_with_its_numbers(server: LiveServer, red: Client) -> None:
    busy = await volume_with(server, server.admin, "busy", "warm", 214.0)
    await volume_with(server, server.admin, "quiet", "warm", 0.0)
    found = await server.admin.call(tiering.ADVICE)
    (move,) = found.recommendations
    assert (move.volume, move.source, move.target, move.why) == (busy.id, "warm", "hot", "hot")
    assert (move.fast, move.refused) == (214, "")
    assert move.saved_s == pytest.approx((6.0 - 0.8) / 1000 * 214 * 7 * DAY, rel=0.01)
    for words in ("214 operations/s over a day and a week", "warm answers in 6 ms (9 of 10 within 9.1 ms), hot in 0.8 ms",
                  "copies 1 MiB in about", "warm 30% to 30%", "hot 60% to 60%"):  # fmt: skip
        assert words in move.text, move.text
    tiers = {tier.tier: tier for tier in found.tiers}
    assert tiers["hot"].used_after_bytes == 60 * GIB + move.size_bytes
    assert tiers["warm"].used_after_bytes == 300 * GIB - move.size_bytes
    assert (tiers["cold"].p50_ms, tiers["warm"].p90_ms) == (None, 9.1)


async def test_evaluations_are_counted_and_survive_a_restart(server: LiveServer, red: Client) -> None:
    busy = await volume_with(server, server.admin, "busy", "warm", 214.0, above=0)
    heat = server.parts.heat
    for count in range(2):  # what is asked for now is the third evaluation
        assert await advice(server.admin) == []
        await heat.advisor.count()
        assert heat.book.volumes[busy.id].above == count + 1
    assert [each.volume for each in await advice(server.admin)] == [busy.id]
    await heat.keeper.store()
    heat.book.volumes.clear()
    await server.parts.database.run(heat.keeper.load)
    assert heat.book.volumes[busy.id].above == 2
    heat.book.volumes[busy.id] = KnownHeat(busy.host, Heat(at=heat.book.clock.now()), above=3)
    await heat.advisor.count()
    assert heat.book.volumes[busy.id].above == 0


async def test_idle_volume_cools_down_to_where_it_belongs(server: LiveServer, red: Client) -> None:
    for name, days in (("week", 8), ("month", 40), ("yesterday", 1)):
        await volume_with(server, server.admin, name, "hot", 0.0, idle_s=days * DAY)
    found = {each.name: each for each in await advice(server.admin)}
    assert {name: each.target for name, each in found.items()} == {"week": "warm", "month": "cold"}
    assert found["month"].text.startswith("no operation for 40d")


async def test_dry_run_of_some_moves_shows_the_tiers_after_these(server: LiveServer, red: Client) -> None:
    first, _ = [await volume_with(server, server.admin, name, "warm", 200.0) for name in ("first", "second")]
    assert len(await advice(server.admin)) == 2
    found = await server.admin.call(tiering.ADVICE, query=AdviceQuery(volumes=first.id))
    assert [each.volume for each in found.recommendations] == [first.id]
    hot = next(tier for tier in found.tiers if tier.tier == "hot")
    assert hot.used_after_bytes == hot.used_bytes + found.recommendations[0].size_bytes


async def test_members_get_advice_about_their_own_volumes_alone(server: LiveServer, red: Client) -> None:
    own = await volume_with(server, red, "own", "warm", 200.0)
    foreign = await volume_with(server, server.admin, "foreign", "warm", 300.0)
    assert [each.volume for each in await advice(red)] == [own.id]
    assert {each.volume for each in await advice(server.admin)} == {own.id, foreign.id}
    assert await advice(red, foreign) == []


async def test_member_whose_volume_makes_room_reads_nothing_of_the_other(
    server: LiveServer, red: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = {**SPACES, "hot": TierSpace(capacity_bytes=10 * MIB, used_bytes=8 * MIB, p50_ms=0.8, p90_ms=1.5)}
    monkeypatch.setattr(Advisor, "_spaces", lambda *_: (dict(full), []))
    own = await volume_with(server, red, "own", "hot", 0.001, idle_s=2 * DAY)
    foreign = await volume_with(server, server.admin, "foreign-name", "warm", 300.0)
    (move,) = await advice(red)
    assert (move.volume, move.target, move.makes_room_for) == (own.id, "warm", HIDDEN_VM)
    assert "foreign-name" not in msgspec.json.encode(move).decode()
    assert {each.volume: each.makes_room_for for each in await advice(server.admin)} == {
        own.id: foreign.id,
        foreign.id: "",
    }


async def test_pinned_volume_stays_and_says_so(server: LiveServer, red: Client) -> None:
    busy = await volume_with(server, server.admin, "busy", "warm", 214.0)
    body = PlacementChange(pinned=True)
    assert (await server.admin.call(tiering.PLACE, body=body, volume_id=busy.id)).pinned
    (move,) = await advice(server.admin)
    assert move.refused == "busy is pinned to warm"
    found = await server.admin.call(tiering.ADVICE)
    assert all(tier.used_after_bytes == tier.used_bytes for tier in found.tiers)
    (entry,) = (await server.admin.call(audit.LIST, query=audit.AuditQuery(q="action:volume.placement"))).items
    assert (entry.actor, entry.target.name, entry.detail) == ("ann", "busy", "pinned")
    await server.admin.call(tiering.PLACE, body=PlacementChange(pinned=False), volume_id=busy.id)
    assert [each.refused for each in await advice(server.admin)] == [""]


async def test_dismissed_advice_comes_back_when_its_time_is_over(
    server: LiveServer, red: Client, owner_url: str
) -> None:
    busy = await volume_with(server, server.admin, "busy", "warm", 214.0)
    body = PlacementChange(dismiss_s=3600, reason="it is replaced on Monday")
    volume = await server.admin.call(tiering.PLACE, body=body, volume_id=busy.id)
    assert volume.dismissed_until is not None
    assert volume.dismissed_until - datetime.now(UTC) > timedelta(minutes=59)
    (move,) = await advice(server.admin)
    assert "dismissed until" in move.refused and move.refused.endswith("it is replaced on Monday")
    storage = server.parts.inventory.state.storage
    (row,) = [row for row in storage.volume_rows.values() if row.id == busy.id]
    past = msgspec.structs.replace(row, dismissed_until=datetime.now(UTC) - timedelta(seconds=1))
    storage.fold_volume(past, gone=False)
    assert [each.refused for each in await advice(server.admin)] == [""]


async def test_who_may_not_change_a_volume_does_not_place_it(server: LiveServer, red: Client) -> None:
    busy = await volume_with(server, server.admin, "busy", "warm", 214.0)
    with pytest.raises(errors.NotFound):
        await red.call(tiering.PLACE, body=PlacementChange(pinned=True), volume_id=busy.id)
    with pytest.raises(errors.ValidationFailed, match="give pinned, together or dismiss_s"):
        await server.admin.call(tiering.PLACE, body=PlacementChange(reason="x"), volume_id=busy.id)


async def test_policy_is_changed_recorded_and_kept(server: LiveServer, red: Client) -> None:
    busy = await volume_with(server, server.admin, "busy", "warm", 0.04)
    assert [each.volume for each in await advice(server.admin)] == [busy.id]
    changed = await server.admin.call(
        tiering.SET_POLICY, body=PolicyChange(floor=1e6, tiers={"hot": TierClassChange(cost_per_gib_month=2.0)})
    )
    assert (changed.floor, changed.evaluations) == (1e6, 3)
    assert await advice(server.admin) == []
    await server.admin.call(
        tiering.SET_POLICY, body=PolicyChange(tiers={"warm": TierClassChange(cost_per_gib_month=0.5)})
    )
    policy = await red.call(tiering.POLICY)
    assert (policy.floor, sorted(policy.tiers)) == (1e6, ["hot", "warm"])
    (last, first) = (await server.admin.call(audit.LIST, query=audit.AuditQuery(q="action:storage.policy"))).items
    assert "floor 0.02 to 1000000.0" in first.detail and '"warm"' in last.detail
    with pytest.raises(errors.ValidationFailed, match=r"low_mark must be at most the high mark, 0\.8"):
        await server.admin.call(tiering.SET_POLICY, body=PolicyChange(low_mark=0.9))
    with pytest.raises(errors.Forbidden):
        await red.call(tiering.SET_POLICY, body=PolicyChange(floor=1.0))


async def test_cost_and_savings_come_from_the_declared_classes(
    server: LiveServer, red: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    await volume_with(server, server.admin, "old", "hot", 0.0, idle_s=40 * DAY)
    assert (await server.admin.call(tiering.ADVICE)).cost_month is None
    assert [each.cost_month for each in (await server.admin.call(tiering.LIST)).items] == [None]
    await cli.heat(server.admin, Output.TABLE, "")
    assert "A MONTH" not in capsys.readouterr().out
    tiers: dict[TierName, TierClassChange] = {
        "hot": TierClassChange(cost_per_gib_month=1024.0),
        "cold": TierClassChange(cost_per_gib_month=0.0),
    }
    await server.admin.call(tiering.SET_POLICY, body=PolicyChange(tiers=tiers))
    found = await server.admin.call(tiering.ADVICE)
    (volume,) = (await server.admin.call(volumes.LIST, query=ListQuery(q="name:old"))).items
    assert found.cost_month == pytest.approx(volume.allocated_bytes / MIB, abs=0.01)
    assert found.saves_month == 1.0
    (heat,) = (await server.admin.call(tiering.LIST, query=ListQuery(q="name:old"))).items
    assert heat.cost_month == found.cost_month
    await cli.heat(server.admin, Output.TABLE, "")
    head, row = capsys.readouterr().out.splitlines()[-2:]
    assert head.split()[-3:] == ["A", "MONTH", "VM"]
    assert row.split()[-2] == f"{found.cost_month:,.2f}"


async def test_tiers_on_one_disk_gain_nothing(server: LiveServer) -> None:
    """As after `make run`: all three are directories of the data directory."""
    await three_pools(server)
    found = await server.admin.call(tiering.ADVICE)
    assert found.recommendations == []
    if len(found.tiers) < 3:  # libvirt's test driver does not know the disks of its pools
        assert any("are on the same disk of" in note for note in found.notes)


async def test_many_who_ask_at_once_get_one_evaluation(
    server: LiveServer, red: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An evaluation of a large fleet takes long: it is not made for each reader."""
    evaluations = 0
    real = Advisor._evaluate

    def slow(advisor: Advisor, state: Any) -> Any:
        nonlocal evaluations
        evaluations += 1
        time.sleep(0.2)
        return real(advisor, state)

    monkeypatch.setattr(Advisor, "_evaluate", slow)
    await asyncio.gather(*(client.call(tiering.ADVICE) for client in (red, server.admin) * 10))
    assert evaluations == len(server.parts.inventory.state.views)
    await server.admin.call(tiering.SET_POLICY, body=PolicyChange(floor=1.0))
    await server.admin.call(tiering.ADVICE)
    assert evaluations == 2 * len(server.parts.inventory.state.views), "another policy"


async def test_refusal_names_no_vm_that_the_reader_does_not_see(
    server: LiveServer, red: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = await volume_with(server, red, "own", "warm", 214.0)
    monkeypatch.setattr(Advisor, "_why_not", lambda *_: "topsecret-vm is busy: creating (by ann)")
    real = server.parts.inventory.volumes

    def hidden(principal: Principal) -> Iterator[Volume]:
        return (msgspec.structs.replace(each, vm=HIDDEN_VM) for each in real(principal))

    monkeypatch.setattr(server.parts.inventory, "volumes", hidden)
    (move,) = await advice(red)
    assert (move.volume, move.refused) == (own.id, "red~own is attached to a VM that you cannot see")


async def test_token_that_is_limited_to_some_vms_places_nothing(server: LiveServer, red: Client) -> None:
    own = await volume_with(server, red, "own", "warm", 214.0)
    async with await with_token(server, red, filter="tag:ci") as script:
        with pytest.raises((errors.NotFound, errors.Forbidden)):
            await script.call(tiering.PLACE, body=PlacementChange(pinned=True), volume_id=own.id)


@pytest.mark.parametrize(
    "stored", [{"copy_bytes_s": 0}, {"low_mark": 0.9}, {"floor": "much"}, [], {"tiers": {"hot": 1}}]
)
async def test_stored_policy_that_cannot_be_is_the_default_one(server: LiveServer, red: Client, stored: Any) -> None:
    await server.parts.database.run(lambda c: store_setting(c, "storage.policy", stored))
    await server.parts.database.run(server.parts.heat.policies.load)
    assert await red.call(tiering.POLICY) == StoragePolicy()


async def test_line_is_not_the_heat_of_a_foreign_volume(
    server: LiveServer, red: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = {**SPACES, "hot": TierSpace(capacity_bytes=3 * MIB, used_bytes=MIB, p50_ms=0.8, p90_ms=1.5)}
    monkeypatch.setattr(Advisor, "_spaces", lambda *_: (dict(full), []))
    for number, rate in enumerate((271.0, 263.0, 257.0)):
        await volume_with(server, server.admin, f"foreign-{number}", "warm", rate)
    await volume_with(server, red, "own", "warm", 700.0)
    found = await red.call(tiering.ADVICE)
    assert all(len(f"{move.line:.10g}".rstrip("0")) <= 1 for move in found.recommendations if move.line)


async def test_disk_stays_with_one_that_cannot_move(
    server: LiveServer, red: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, data = (
        await volume_with(server, red, "log", "warm", 214.0),
        await volume_with(server, red, "data", "warm", 0.0),
    )
    for volume in (log, data):
        await red.call(tiering.PLACE, body=PlacementChange(together=True), volume_id=volume.id)
    assert (await red.call(volumes.GET, volume_id=log.id)).together
    assert [each.name for each in await advice(red)] == ["red~log"], "they belong to no VM: each is alone"
    real = server.parts.inventory.state.storage.volumes_on

    def attached(host_id: str) -> dict[Any, Volume]:
        return {key: msgspec.structs.replace(each, vm="vm-1") for key, each in real(host_id).items()}

    def why_not(_advisor: Advisor, volume: Volume) -> str:
        return f"{volume.name} is pinned to warm" if volume.pinned else ""

    monkeypatch.setattr(server.parts.inventory.state.storage, "volumes_on", attached)
    monkeypatch.setattr(Advisor, "_why_not", why_not)
    server.parts.heat.advisor.forget()
    assert sorted((each.name, each.refused) for each in await advice(red)) == [("red~data", ""), ("red~log", "")]
    texts = {each.name: each.text for each in await advice(red)}
    assert "with the disks it stays with" in texts["red~data"]
    await red.call(tiering.PLACE, body=PlacementChange(pinned=True), volume_id=data.id)
    refused = {each.name: each.refused for each in await advice(red)}
    assert refused["red~data"] == "red~data is pinned to warm"
    assert refused["red~log"] == "it stays with another disk of its VM: red~data is pinned to warm"
    with pytest.raises(errors.ValidationFailed):
        await red.call(tiering.PLACE, body=PlacementChange(), volume_id=data.id)
