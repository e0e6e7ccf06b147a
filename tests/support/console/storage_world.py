"""A small fixed storage for the console's tests: three tiers, four pools, seven volumes, one of them on its way, and what
the server advises."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from novacron_core.api.automatic import AutomaticStatus, StorageDecision
from novacron_core.api.base import Page
from novacron_core.api.events import InventoryFrame, SamplesFrame
from novacron_core.api.operations import Operation, OperationState, Target
from novacron_core.api.pools import Pool
from novacron_core.api.samples import HeatSample, TierSample
from novacron_core.api.tiering import (
    HeatHistory,
    Recommendation,
    StorageAdvice,
    StoragePolicy,
    TierClass,
    TierForecast,
    VolumeHeat,
)
from novacron_core.api.tiers import Tier
from novacron_core.api.volumes import MoveHistory, PastMove, Volume
from novacron_core.values.sizes import GIB, MIB, TIB
from novacron_core.values.tiers import TierName
from tests.support.console.wire import Stream, Wire, ok
from tests.support.console.world import HOST_ID, NOW, fleet, host, live, vm_id


def volume(name: str, number: int, tier: str | None = "hot", **changes: Any) -> Volume:
    base = Volume(
        id=f"vol-{number}",
        name=name,
        size_bytes=8 * GIB,
        allocated_bytes=GIB,
        format="qcow2",
        pool=f"novacron-1a2b3c4d-{tier}",
        host=HOST_ID,
        tier=tier,
        tenant="default",
        created_at=NOW,
    )
    return msgspec.structs.replace(base, **changes)


def pool(tier: str | None, name: str = "", **changes: Any) -> Pool:
    base = Pool(
        id=f"pool-{name or tier}",
        name=name or f"novacron-1a2b3c4d-{tier}",
        host=HOST_ID,
        type="dir",
        path=f"/var/lib/novacron/pools/{tier}",
        active=True,
        tier=tier,
        managed=not name,
        capacity_bytes=TIB,
        allocated_bytes=400 * GIB,
        available_bytes=624 * GIB,
        shares_disk_with=[],
        volumes=3,
    )
    return msgspec.structs.replace(base, **changes)


def tier(name: str, used: int, size: int, **changes: Any) -> Tier:
    base = Tier(
        name=name,
        pools=[f"pool-{name}"],
        capacity_bytes=size,
        used_bytes=used,
        free_bytes=size - used,
        provisioned_bytes=200 * GIB,
        allocated_bytes=60 * GIB,
        volumes=3,
        read_bytes_s=12.5 * MIB,
        write_bytes_s=800 * 1024,
        reads_s=214,
        writes_s=31,
        rates_at=NOW,
    )
    return msgspec.structs.replace(base, **changes)


TIERS = [
    tier("hot", 400 * GIB, TIB),
    tier("warm", 3500 * GIB, 4 * TIB, volumes=1, shares_disk_with=["cold"], read_bytes_s=0, write_bytes_s=0),
    tier("cold", 3900 * GIB, 4 * TIB, pools=["a", "b"], shares_disk_with=["warm"], read_bytes_s=None),
]


def moving() -> Operation:
    return Operation(
        id="op-move",
        kind="volume.move",
        target=Target(type="vm", id=vm_id(3), name="db-01"),
        state=OperationState.RUNNING,
        created_at=NOW - timedelta(seconds=40),
        started_at=NOW - timedelta(seconds=40),
        actor="ada",
        step="copying while the VM runs",
        progress=0.37,
        rate=48 * MIB,
        eta_s=260,
        may_cancel=True,
    )


def volumes() -> list[Volume]:
    return [
        volume("web-01-1a2b3c4d.qcow2", 1, vm=vm_id(1), role="disk"),
        volume("web-02-5e6f7a8b.qcow2", 2, vm=vm_id(2), role="disk", allocated_bytes=3 * GIB),
        volume("db-01-data", 3, vm=vm_id(3), role="disk", size_bytes=64 * GIB, allocated_bytes=41 * GIB, operation_id="op-move"),
        volume("db-01-backup", 4, "cold", size_bytes=128 * GIB, format="raw"),
        volume("build-cache", 5, "warm", vm=vm_id(5), role="disk", size_bytes=256 * GIB, allocated_bytes=90 * GIB),
        volume("scratch", 6, "cold", allocated_bytes=196 * 1024),
        volume("debian-13.iso", 7, None, pool="isos", format="raw", unmanaged=True, tenant=None),
    ]  # fmt: skip


def stored(**changes: Any) -> InventoryFrame:
    base = InventoryFrame(
        seq=10,
        part=0,
        last=True,
        things={
            "vms": fleet(),
            "hosts": [host()],
            "volumes": volumes(),
            "pools": [
                *(pool(name) for name in ("hot", "warm", "cold")),
                pool(None, "isos", path="/srv/isos", type="netfs"),
            ],
            "tiers": TIERS,
            "operations": [moving()],
        },
    )
    fields = {name: value for name, value in changes.items() if name in base.__struct_fields__}
    things = base.things | {name: value for name, value in changes.items() if name not in fields}
    return msgspec.structs.replace(base, things=things, **fields)


def storage(**changes: Any) -> Stream:
    return Stream(live(), stored(**changes), tier_samples(changes.get("tiers", TIERS)), heat_samples())


def heat_samples() -> SamplesFrame:
    """Of all volumes that have one: two in use, one that cools, one that nobody used for 40 days, and one never used."""
    now = NOW - timedelta(minutes=4)
    heat = {
        "vol-1": HeatSample(fast=3.4, slow=2.1, accessed_at=now),
        "vol-2": HeatSample(fast=0.4, slow=1.9, accessed_at=NOW - timedelta(hours=9)),
        "vol-3": HeatSample(fast=640.0, slow=590.0, accessed_at=now),
        "vol-4": HeatSample(fast=0.0, slow=0.0, accessed_at=NOW - timedelta(days=40)),
        "vol-5": HeatSample(fast=1240.0, slow=980.0, accessed_at=now),
        "vol-6": HeatSample(),
    }
    return SamplesFrame(time=NOW, host=HOST_ID, heat=heat)


def recommendations() -> list[Recommendation]:
    """One that makes room, the one that needs it, and one that is refused."""
    cold = Recommendation(
        volume="vol-2", name="web-02-5e6f7a8b.qcow2", host=HOST_ID, vm=vm_id(2), source="hot", target="warm", why="space",
        size_bytes=3 * GIB, fast=0.4, slow=1.9, heat=0.13, line=5.1, saved_s=-9000, copy_s=51, makes_room_for="vol-5",
        text="makes room for build-cache, which is hotter: this one has 0.4 operations/s; hot answers in 0.8 ms (9 of 10 "
        "within 1.5 ms), warm in 6 ms (9 of 10 within 9.1 ms); copies 3 GiB in about 51s; hot 39% to 38%; warm 85% to 86%",
    )  # fmt: skip
    hot = Recommendation(
        volume="vol-5", name="build-cache", host=HOST_ID, vm=vm_id(5), source="warm", target="hot", why="hot",
        size_bytes=90 * GIB, fast=1240, slow=980, heat=10.9, line=5.1, saved_s=3_000_000, copy_s=1536,
        text="980 operations/s over a day and a week: 11 per GiB, and hot takes from 5.1; warm answers in 6 ms (9 of 10 "
        "within 9.1 ms), hot in 0.8 ms (9 of 10 within 1.5 ms); copies 90 GiB in about 25m; warm 86% to 83%; hot 38% to 47%",
    )  # fmt: skip
    busy = Recommendation(
        volume="vol-3", name="db-01-data", host=HOST_ID, vm=vm_id(3), source="warm", target="hot", why="hot",
        size_bytes=41 * GIB, fast=640, slow=590, heat=14.4, line=5.1, saved_s=1_800_000, copy_s=700,
        text="590 operations/s over a day and a week: 14 per GiB, and hot takes from 5.1",
        refused="db-01-data is busy: moving a disk (by ada)",
    )  # fmt: skip
    return [cold, hot, busy]


def advice(only: str = "") -> StorageAdvice:
    """The advice, or a dry run of the moves of some volumes."""
    chosen = [each for each in recommendations() if not only or each.volume in only.split(",")]
    moved = {"hot": 0, "warm": 0}
    for each in chosen:
        if not each.refused:
            moved[each.source] -= each.size_bytes
            moved[each.target] += each.size_bytes
    sizes = {"hot": (400 * GIB, TIB), "warm": (3500 * GIB, 4 * TIB)}
    tiers = [
        TierForecast(host=HOST_ID, tier=name, capacity_bytes=size, used_bytes=used, used_after_bytes=used + moved[name],
                     p50_ms=0.8 if name == "hot" else 6.0, p90_ms=1.5 if name == "hot" else 9.1)
        for name, (used, size) in sizes.items()
    ]  # fmt: skip
    return StorageAdvice(recommendations=chosen, tiers=tiers, at=NOW)


def moves() -> MoveHistory:
    """Two that succeeded, and one that was refused by QEMU."""

    def move(
        number: int, source: str, target: str, days: float, took_s: float, state: str = "succeeded", **more: Any
    ) -> PastMove:
        started = NOW - timedelta(days=days)
        return PastMove(
            operation=f"op-{number}",
            source=source,
            target=target,
            state=OperationState(state),
            moved=state == "succeeded",
            started_at=started,
            finished_at=started + timedelta(seconds=took_s),
            **more,
        )

    return MoveHistory(
        moves=[
            move(3, "warm", "hot", 2, 95, "failed", actor="ada", reason="hot is full: 1 MiB free"),
            move(2, "cold", "warm", 9, 1530, actor="ada"),
            move(1, "hot", "cold", 30.5, 7400, actor="bob"),
        ]
    )  # fmt: skip


def policy(**changes: Any) -> StoragePolicy:
    """What is declared of the tiers; nothing of the cold one."""
    classes: dict[TierName, TierClass] = {
        "hot": TierClass(cost_per_gib_month=0.4, expected_ms=0.8, redundancy="mirrored NVMe"),
        "warm": TierClass(cost_per_gib_month=0.1, expected_ms=6, redundancy="RAID 6"),
    }
    return msgspec.structs.replace(StoragePolicy(tiers=classes), **changes)


def tier_samples(tiers: list[Tier]) -> SamplesFrame:
    """The rates that the tiers of this world have, as the stream brings them."""
    rates = {
        tier.name: TierSample(
            read_bytes_s=tier.read_bytes_s,
            write_bytes_s=tier.write_bytes_s,
            reads_s=tier.reads_s,
            writes_s=tier.writes_s,
            at=NOW,
        )
        for tier in tiers
    }
    return SamplesFrame(time=NOW, host=HOST_ID, tiers=rates)


def history() -> HeatHistory:
    """A volume that works by day, more every week."""
    now = VolumeHeat(
        id="vol-5", name="build-cache", host=HOST_ID, tier="warm", vm=vm_id(5), allocated_bytes=90 * GIB, heat=10.9, fast=1240,
        slow=980, observed_s=30 * 86_400, as_of=NOW, accessed_at=NOW, reads=1_204_311, writes=310_442,
        read_bytes=19 * GIB, written_bytes=4 * GIB, mean_bytes=16_320, sequential=0.04,
    )  # fmt: skip
    weighted = [(200 + 5 * at) * (1.0 if at % 6 in (2, 3, 4) else 0.1) for at in range(180)]
    nothing: list[float | None] = [None] * 180
    return HeatHistory(
        now=now, start=NOW - timedelta(days=30), step_s=4 * 3600, operations_s=nothing, weighted_s=[*nothing[:20], *weighted[20:]],
        bytes_s=nothing, latency_ms=nothing, hours=[900.0 if 8 <= hour < 19 else 60.0 for hour in range(24)],
    )  # fmt: skip


def decision(number: int, name: str, result: str, ago: timedelta, **more: Any) -> StorageDecision:
    base = StorageDecision(
        id=f"decision-{number}", at=NOW - ago, last_at=NOW - ago, host=HOST_ID, volume=f"vol-{number}", name=name,
        source="hot", target="warm", result=result, size_bytes=3 * GIB, operation=None,
        text="no operation for 9d, 0.02 operations/s over a week; copies 3 GiB in about 52s; hot 39% to 38%; warm 85% to 86%",
    )  # fmt: skip
    return msgspec.structs.replace(base, **more)


def decisions() -> Page[StorageDecision]:
    """What the server decided in the last days."""
    busy = "1,240 operations/s over a day and a week: 14 per GiB, and hot takes from 0.9; copies 90 GiB in about 26m"
    rows = [
        decision(5, "build-cache", "moving", timedelta(minutes=3), source="warm", target="hot", text=busy, operation="op-9"),
        decision(2, "web-02-5e6f7a8b.qcow2", "held", timedelta(minutes=4), at=NOW - timedelta(hours=7), times=840,
                 cause="turn", reason="one move at a time: another volume is being moved from hot to warm"),
        decision(3, "db-01-data", "stopped", timedelta(hours=5),
                 reason="hot is slow: 9 of 10 requests within 22 ms, and the limit is 15 ms"),
        decision(8, "old-builds", "moved", timedelta(days=2), source="warm", target="cold", operation="op-8"),
        decision(4, "db-01-backup", "failed", timedelta(days=40), reason="cold is full: 0 B free"),
    ]  # fmt: skip
    return Page(items=rows, total=len(rows), page=1, page_size=500)


def wire(**routes: Any) -> Wire:
    """Answers what the screen reads beside the stream."""
    page = Page(items=TIERS, total=3, page=1, page_size=100)
    known = {
        "GET /api/storage/tiers": lambda _: ok(page),
        "GET /api/storage/volumes/vol-5/heat": lambda _: ok(history()),
        "GET /api/storage/volumes/vol-5/moves": lambda _: ok(moves()),
        "GET /api/storage/advice": lambda request: ok(advice(request.url.params.get("volumes", ""))),
        "GET /api/storage/policy": lambda _: ok(StoragePolicy()),
        "GET /api/storage/automatic": lambda _: ok(AutomaticStatus(enabled=False)),
        "GET /api/storage/decisions": lambda _: ok(decisions()),
    }
    return Wire(routes={**known, **routes})
