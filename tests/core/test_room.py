"""What thin disks are promised, against the room that there is."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from novacron_core.api.pools import Pool
from novacron_core.api.tiers import Tier
from novacron_core.rules.room import overcommitted, promised_beyond_room
from novacron_core.values.sizes import GIB, TIB

HOT = Tier(name="hot", capacity_bytes=200 * GIB, free_bytes=50 * GIB, provisioned_bytes=150 * GIB)


def pool(**changes: Any) -> Pool:
    base = Pool(id="1", name="p", host="h", type="dir", path="/p", active=True, tier="hot", available_bytes=50 * GIB)
    return msgspec.structs.replace(base, **changes)


def words(size: int, *pools: Pool, host: str = "", **tiers: Tier) -> str:
    return promised_beyond_room(size, "hot", tiers or {"hot": HOT}, pools, host)


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (GIB, ""),
        (50 * GIB, ""),
        (TIB, "1 TiB is promised, and only 50 GiB is free in hot"),
    ],
)
def test_disk_larger_than_what_is_free(size: int, said: str) -> None:
    assert words(size, pool(available_bytes=10 * GIB), pool()) == said


@pytest.mark.parametrize(
    "other", [pool(tier="cold"), pool(active=False), pool(type="logical"), pool(host="i"), pool(available_bytes=None)]
)
def test_only_pools_that_can_take_it_count(other: Pool) -> None:
    known = msgspec.structs.replace(other, available_bytes=other.available_bytes and 9 * TIB)
    assert "only 50 GiB" in words(60 * GIB, known, pool(), host="h")


def test_sum_of_what_is_promised() -> None:
    assert words(40 * GIB, pool(), hot=msgspec.structs.replace(HOT, provisioned_bytes=180 * GIB)) == (
        "with it, hot promises 220 GiB, more than the 200 GiB that its disks hold"
    )
    over = msgspec.structs.replace(HOT, provisioned_bytes=300 * GIB)
    assert overcommitted("hot", {"hot": over}) == "hot promises 300 GiB, more than the 200 GiB that its disks hold"
    assert overcommitted("hot", {"hot": HOT}) == ""


def test_tiers_on_one_disk_promise_together() -> None:
    hot = msgspec.structs.replace(HOT, shares_disk_with=["warm", "cold"])
    warm = msgspec.structs.replace(HOT, name="warm")
    cold = msgspec.structs.replace(HOT, name="cold", capacity_bytes=TIB)  # and a disk of its own: not counted
    said = overcommitted("hot", {"hot": hot, "warm": warm, "cold": cold})
    assert said == "hot and warm promise 300 GiB, more than the 200 GiB that their disks hold"


def test_nothing_known_says_nothing() -> None:
    assert promised_beyond_room(TIB, "hot", {}, []) == ""
    assert words(TIB, hot=msgspec.structs.replace(HOT, capacity_bytes=None)) == ""
