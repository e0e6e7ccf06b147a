"""Automatic moves with real files: one at a time, stopped when they must be, each decision readable afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from novacron_core import errors
from novacron_core.api import audit, automatic, operations, tiering, volumes
from novacron_core.api.automatic import AutomaticChange, PairChange, StorageDecision
from novacron_core.api.base import ListQuery
from novacron_core.api.operations import Operation, OperationState
from novacron_core.api.tiering import PlacementChange, PolicyChange
from novacron_core.api.volumes import Volume, VolumeResize
from novacron_core.rules.tiering.advice import TierSpace
from novacron_core.values.sizes import GIB, KIB
from novacron_core.values.tiers import TierName
from novacron_server.tiering.advisor import Advisor
from novacron_server.tiering.automatic_moves import repository as decisions
from novacron_server.tiering.automatic_moves.runner import ACTOR, AutomaticMoves
from tests.support.storage import MIB, StorageServer, expect_content, expect_only_file, open_storage_server
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")
SPACES: dict[TierName, TierSpace] = {
    "hot": TierSpace(capacity_bytes=100 * GIB, used_bytes=10 * GIB),
    "warm": TierSpace(capacity_bytes=100 * GIB, used_bytes=10 * GIB),
}
AT_ONCE = PolicyChange(observe_s=0, idle_warm_s=0, idle_cold_s=10 * 365 * 86_400, cooldown_s=0, return_s=0)
"""Whatever is in the hot tier and idle leaves it."""
SLOWLY = PairChange(enabled=True, bandwidth_bytes_s=64 * KIB)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def storage() -> AsyncIterator[StorageServer]:
    async with open_storage_server() as made:
        yield made


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def on(storage: StorageServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """The tiers are on separate disks; automatic moves are off, and nothing is left of an earlier test."""
    monkeypatch.setattr(Advisor, "_spaces", lambda *_: (dict(SPACES), []))
    await storage.admin.call(tiering.SET_POLICY, body=AT_ONCE)
    yield
    monkeypatch.delenv("NOVACRON_FAILPOINTS", raising=False)
    await switch(storage, PairChange(enabled=False, bandwidth_bytes_s=0, window=""), enabled=False, time_zone="UTC")
    parts = storage.server.parts
    await until(nothing_moves(storage))
    for volume in (await storage.admin.call(volumes.LIST)).items:
        await storage.succeeded(await storage.admin.call(volumes.DELETE, volume_id=volume.id))
    parts.heat.book.latencies._minutes.clear()
    await parts.heat.automatic.load()
    parts.heat.automatic._memory._failures.clear()


def nothing_moves(storage: StorageServer) -> Any:
    async def idle() -> bool | None:
        await storage.server.parts.heat.automatic.look()
        return None if any(each.result == "moving" for each in await decided(storage)) else True

    return idle


async def switch(storage: StorageServer, pair: PairChange | None = None, *, enabled: bool = True, **more: Any) -> None:
    change = AutomaticChange(enabled=enabled, pairs={"hot-to-warm": pair or PairChange(enabled=True)}, **more)
    await storage.admin.call(tiering.SET_POLICY, body=PolicyChange(automatic=change))


async def idle_volume(storage: StorageServer, name: str) -> Volume:
    """A volume in the hot tier that is watched and does nothing."""
    volume = await storage.create_volume(name)

    async def watched() -> bool | None:
        storage.server.parts.heat.keeper.look()
        return True if volume.id in storage.server.parts.heat.book.volumes else None

    await until(watched)
    return volume


async def decided(storage: StorageServer, q: str = "") -> list[StorageDecision]:
    return (await storage.admin.call(automatic.DECISIONS, query=ListQuery(q=q))).items


async def look(storage: StorageServer) -> None:
    await storage.server.parts.heat.automatic.look()


async def result(storage: StorageServer, volume: Volume, wanted: str) -> StorageDecision:
    """The decision about a volume with this result, once there is one."""

    async def there() -> StorageDecision | None:
        await look(storage)
        found = [each for each in await decided(storage) if (each.volume, each.result) == (volume.id, wanted)]
        return found[0] if found else None

    return await until(there)


async def operation_of(storage: StorageServer, decision: StorageDecision) -> Operation:
    assert decision.operation is not None
    return await storage.admin.call(operations.GET, operation_id=decision.operation)


async def test_nothing_moves_unless_both_switches_are_on(storage: StorageServer) -> None:
    volume = await idle_volume(storage, "still")
    assert [each.volume for each in (await storage.admin.call(tiering.ADVICE)).recommendations] == [volume.id]
    for change in (
        AutomaticChange(enabled=True, pairs={"warm-to-hot": PairChange(enabled=True)}),
        AutomaticChange(enabled=False, pairs={"hot-to-warm": PairChange(enabled=True)}),
    ):
        await storage.admin.call(tiering.SET_POLICY, body=PolicyChange(automatic=change))
        await look(storage)
        assert [each for each in await decided(storage) if each.volume == volume.id] == []
        await storage.admin.call(
            tiering.SET_POLICY,
            body=PolicyChange(automatic=AutomaticChange(pairs={"warm-to-hot": PairChange(enabled=False)})),
        )
    expect_only_file(storage, volume, "hot")


async def test_advised_moves_are_made_one_after_another_and_recorded(storage: StorageServer) -> None:
    made = [await idle_volume(storage, name) for name in ("a-one", "b-two")]
    first, second = sorted(made, key=lambda volume: volume.id)  # equally cold
    await switch(storage, PairChange(enabled=True, bandwidth_bytes_s=4 * MIB))
    moving = await result(storage, first, "moving")
    assert moving.text.startswith("no operation for")
    (waits,) = [each for each in await decided(storage, "held") if each.volume == second.id]
    assert (waits.cause, waits.operation) == ("turn", None), waits
    assert waits.reason == "one move at a time: another volume is being moved from hot to warm"
    (status,) = (await storage.admin.call(automatic.STATUS)).pairs
    assert (status.pair, status.moving, status.waits) == ("hot-to-warm", first.name, "")
    for volume in (first, second):
        done = await result(storage, volume, "moved")
        assert (done.source, done.target, done.reason) == ("hot", "warm", "")
        operation = await operation_of(storage, done)
        assert (operation.state, operation.actor) == (OperationState.SUCCEEDED, ACTOR.username)
        expect_only_file(storage, volume, "warm")
        expect_content(storage, storage.path(await storage.volume(volume.name)))
    entries = (await storage.admin.call(audit.LIST, query=audit.AuditQuery(q="action:storage.policy"))).items
    assert any("automatic enabled False to True" in entry.detail for entry in entries)


async def test_turning_it_off_stops_the_move_under_way(storage: StorageServer) -> None:
    volume = await idle_volume(storage, "stopped")
    await switch(storage, SLOWLY)
    operation = await operation_of(storage, await result(storage, volume, "moving"))
    await switch(storage, enabled=False)
    stopped = await result(storage, volume, "stopped")
    assert stopped.reason == "automatic moves were turned off"
    ended = await storage.ended(operation)
    assert ended.state is OperationState.CANCELLED
    assert ended.problem is not None and ended.problem.detail == "cancelled by storage policy"
    expect_only_file(storage, volume, "hot")
    assert (await storage.admin.call(automatic.STATUS)).pairs == []


async def test_turning_it_off_during_a_look_begins_nothing(
    storage: StorageServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """The switch is turned while a decision is written down, before its move begins."""
    volume = await idle_volume(storage, "just-in-time")
    go = tmp_path / "go"
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "storage.automatic:decided=pause")
    monkeypatch.setenv("NOVACRON_FAILPOINT_RELEASE", str(go))
    await switch(storage, SLOWLY)

    async def written() -> bool | None:
        return True if any(each.volume == volume.id for each in await decided(storage)) else None

    await until(written)
    await switch(storage, enabled=False)
    go.touch()
    held = await result(storage, volume, "held")
    assert (held.operation, held.reason) == (None, "automatic moves were turned off")
    operations_now = (await storage.admin.call(operations.LIST, query=ListQuery(q="volume.move"))).items
    assert [each for each in operations_now if not each.state.ended] == []


async def test_write_that_fails_loses_no_decision(storage: StorageServer, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = await idle_volume(storage, "outage")
    await storage.admin.call(tiering.PLACE, body=PlacementChange(pinned=True), volume_id=volume.id)
    moves = storage.server.parts.heat.automatic
    real, failing = AutomaticMoves._write, [True]

    async def fails_once(self: AutomaticMoves, rows: Any) -> None:
        if rows and failing:
            failing.clear()
            raise errors.DatabaseUnavailable("away")
        await real(self, rows)

    monkeypatch.setattr(AutomaticMoves, "_write", fails_once)
    await switch(storage)
    await until(lambda: _not(failing))
    await moves.look()
    assert [each.result for each in await decided(storage) if each.volume == volume.id] == ["held"]


async def _not(values: list[bool]) -> bool | None:
    await asyncio.sleep(0)
    return None if values else True


async def test_slow_tier_stops_the_move_and_the_pair_waits(storage: StorageServer) -> None:
    volume = await idle_volume(storage, "slowed")
    await switch(storage, SLOWLY)
    await result(storage, volume, "moving")
    book = storage.server.parts.heat.book
    for _ in range(20):
        book.latencies.add(volume.host, "warm", 22.0, book.clock.now())
    stopped = await result(storage, volume, "stopped")
    assert stopped.reason.startswith("warm is slow: 9 of 10 requests within 2")
    expect_only_file(storage, volume, "hot")
    book.latencies._minutes.clear()
    await look(storage)
    assert [each.cause for each in await decided(storage, "slowed held")] == ["failed"]
    (status,) = (await storage.admin.call(automatic.STATUS)).pairs
    assert "next try in" in status.waits


async def test_failed_move_is_not_repeated_at_once_also_after_a_restart(
    storage: StorageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = await idle_volume(storage, "fails")
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "volume.move:made=error")
    await switch(storage)
    failed = await result(storage, volume, "failed")
    assert "failpoint volume.move:made" in failed.reason
    monkeypatch.delenv("NOVACRON_FAILPOINTS")
    automatic_moves = storage.server.parts.heat.automatic
    other = await idle_volume(storage, "waits-for-it")
    for _ in range(2):
        await look(storage)
        held = {each.volume: each for each in await decided(storage, "held")}
        assert "its last automatic move failed: not again before" in held[volume.id].reason
        assert (held[other.id].cause, held[volume.id].cause) == ("failed", "refused")
        await automatic_moves.load()
    automatic_moves._memory._failures.clear()
    await result(storage, other, "moved")
    expect_only_file(storage, volume, "hot")


async def test_move_that_a_person_cancelled_is_not_begun_again(storage: StorageServer) -> None:
    volume = await idle_volume(storage, "unwanted")
    await switch(storage, SLOWLY)
    operation = await operation_of(storage, await result(storage, volume, "moving"))
    await storage.admin.call(operations.CANCEL, operation_id=operation.id)
    cancelled = await result(storage, volume, "cancelled")
    assert cancelled.reason == "cancelled by ann"
    await look(storage)
    (held,) = await decided(storage, "unwanted held")
    assert "its last automatic move was cancelled: not again before" in held.reason
    expect_only_file(storage, volume, "hot")


async def test_what_somebody_changes_or_has_pinned_is_left_alone(
    storage: StorageServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    pinned, busy = await idle_volume(storage, "pinned"), await idle_volume(storage, "busy")
    await storage.admin.call(tiering.PLACE, body=PlacementChange(pinned=True), volume_id=pinned.id)
    go = tmp_path / "go"
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "volume.resize:planned=pause,volume.resize:grown=pause")
    monkeypatch.setenv("NOVACRON_FAILPOINT_RELEASE", str(go))
    operation = await storage.admin.call(volumes.RESIZE, body=VolumeResize(size_bytes=80 * MIB), volume_id=busy.id)
    await switch(storage)
    await look(storage)
    held = {each.volume: each.reason for each in await decided(storage, "held")}
    assert held[pinned.id] == "pinned is pinned to hot"
    assert held[busy.id].startswith("busy is busy: growing")
    go.touch()
    await storage.succeeded(operation)
    await result(storage, busy, "moved")
    expect_only_file(storage, pinned, "hot")
    for _ in range(3):
        await look(storage)
    times = [each for each in await decided(storage, "pinned held") if each.volume == pinned.id]
    assert len(times) == 1, "the same decision is one row"


async def test_decision_without_an_operation_is_known_not_to_have_begun(storage: StorageServer) -> None:
    volume = await idle_volume(storage, "crashed")
    parts = storage.server.parts
    row = decisions.Decided(
        id="0f8fad5b-d9cb-469f-a165-70867728950e", at=datetime.now(UTC), last_at=datetime.now(UTC), host=volume.host,
        volume=volume.id, name=volume.name, tenant=volume.tenant, source="hot", target="warm", result="moving",
    )  # fmt: skip
    await parts.database.run(lambda c: decisions.write(c, [row]))
    await parts.heat.automatic.load()
    held = await result(storage, volume, "held")
    assert held.reason == "the server stopped before it began"


async def test_window_is_kept_in_its_time_zone(storage: StorageServer) -> None:
    volume = await idle_volume(storage, "at-night")
    later = (datetime.now(UTC) + timedelta(hours=2)).strftime("%H:%M")
    much_later = (datetime.now(UTC) + timedelta(hours=3)).strftime("%H:%M")
    closed = PairChange(enabled=True, window=f"{later}-{much_later}")
    await switch(storage, closed)
    await look(storage)
    (held,) = await decided(storage, "at-night held")
    assert held.reason == f"moves from hot to warm begin at {later}-{much_later} UTC"
    await switch(storage, time_zone="Etc/GMT-2")  # where it is two hours later
    await result(storage, volume, "moved")
