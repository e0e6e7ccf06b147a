"""A small fixed storage for the console's tests: three tiers, four pools, seven volumes, one of them on its way."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from novacron_core.api.base import Page
from novacron_core.api.events import InventoryFrame, SamplesFrame
from novacron_core.api.operations import Operation, OperationState, Target
from novacron_core.api.pools import Pool
from novacron_core.api.samples import TierSample
from novacron_core.api.tiers import Tier
from novacron_core.api.volumes import Volume
from novacron_core.values.sizes import GIB, MIB, TIB
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
    return Stream(live(), stored(**changes), tier_samples(changes.get("tiers", TIERS)))


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


def wire(**routes: Any) -> Wire:
    """Answers what the screen reads beside the stream."""
    page = Page(items=TIERS, total=3, page=1, page_size=100)
    return Wire(routes={"GET /api/storage/tiers": lambda _: ok(page), **routes})
