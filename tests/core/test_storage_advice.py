"""Advice on tiers: what moves and why, and what never happens whatever the state is."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novacron_core.api.tiering import StoragePolicy, TierClass
from novacron_core.rules.tiering.advice import Advice, Evaluation, TierSpace, Why, density, evaluate
from novacron_core.rules.tiering.disks import DiskState
from novacron_core.rules.tiering.heat import DAY_S
from novacron_core.values.sizes import GIB
from novacron_core.values.tiers import TIERS, TierName

POLICY = StoragePolicy()
READY = POLICY.evaluations - 1
"""Evaluations before this one, after which a disk that is above the line is advised to move."""


def spaces(hot: int = 1000, hot_used: int = 0, **more: Any) -> dict[TierName, TierSpace]:
    """Three tiers, sizes in GiB."""
    latencies: dict[str, tuple[float | None, float | None]] = {
        "hot": (0.8, 2.0), "warm": (6.0, 9.1), "cold": (15.0, 40.0), **more
    }  # fmt: skip
    sizes: dict[TierName, tuple[int, int]] = {"hot": (hot, hot_used), "warm": (10_000, 2000), "cold": (50_000, 100)}
    return {
        tier: TierSpace(
            capacity_bytes=size * GIB, used_bytes=used * GIB, p50_ms=latencies[tier][0], p90_ms=latencies[tier][1]
        )
        for tier, (size, used) in sizes.items()
    }


def disk(name: str = "db-01", tier: TierName = "warm", gib: int = 40, heat: float = 214.0, **more: Any) -> DiskState:
    """A disk above any line, with a heat in operations per second for both averages."""
    values = {"fast": heat, "slow": heat, "idle_s": 0.0, "above": READY, **more}
    return DiskState(id=name, tier=tier, size_bytes=gib * GIB, **values)


def moves(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    return [(each.disk, each.target, each.why) for each in evaluation.advice]


def test_hot_disk_goes_to_the_fast_tier_and_the_numbers_are_told() -> None:
    (found,) = evaluate([disk()], spaces(), POLICY).advice
    assert (found.disk, found.source, found.target, found.why) == ("db-01", "warm", "hot", Why.HOT)
    assert found.saved_s == pytest.approx(0.0052 * 214 * 7 * DAY_S)
    assert found.copy_s == pytest.approx(40 * 1024 / 60)
    assert (found.fast, found.slow, found.line, found.size_bytes) == (214.0, 214.0, POLICY.floor, 40 * GIB)


@pytest.mark.parametrize(
    "more",
    [
        {"observed_s": DAY_S - 1},
        {"above": READY - 1},
        {"fast": 0.1},
        {"slow": 0.1},
        {"refused": "pinned"},
        {"moved_ago_s": DAY_S - 1},
        {"moved_ago_s": 7 * DAY_S - 1, "came_from": "hot"},
        {"gib": 900},
        {"heat": 0.7},
    ],
    ids=lambda more: ",".join(more),
)
def test_disk_stays_where_it_is(more: dict[str, Any]) -> None:
    assert evaluate([disk(**more)], spaces(), POLICY).advice == []


def test_move_must_pay() -> None:
    copy_s = 40 * 1024 / 60
    enough = POLICY.payback * copy_s / (0.0052 * POLICY.horizon_s)
    low = msgspec.structs.replace(POLICY, floor=0.001)
    assert evaluate([disk(heat=enough * 1.01)], spaces(), low).advice
    assert not evaluate([disk(heat=enough * 0.99)], spaces(), low).advice
    assert not evaluate([disk()], spaces(warm=(0.88, 2.0)), POLICY).advice, "9 % better"
    assert not evaluate([disk()], spaces(warm=(None, None)), POLICY).advice, "nobody knows how slow it is"


def test_disk_is_above_the_line_in_so_many_evaluations_running() -> None:
    above: dict[str, int] = {}
    for round_number in range(POLICY.evaluations):
        evaluation = evaluate([disk(above=above.get("db-01", 0))], spaces(), POLICY)
        assert bool(evaluation.advice) is (round_number == READY)
        above = evaluation.above
    assert evaluate([disk(heat=0.001, above=2)], spaces(), POLICY).above == {}


def test_idle_disk_goes_down_after_a_week_and_to_the_cold_tier_after_a_month() -> None:
    for days, target in ((6, None), (7, "warm"), (29, "warm"), (30, "cold")):
        idle = disk(tier="hot", heat=0.0, idle_s=days * DAY_S)
        found = moves(evaluate([idle], spaces(hot_used=40), POLICY))
        assert found == ([("db-01", target, Why.COLD)] if target else []), days
    busy = disk(tier="hot", fast=0.0, heat=5.0, idle_s=8 * DAY_S)
    assert evaluate([busy], spaces(hot_used=40), POLICY).advice == [], "the week was busy"


def test_space_outranks_heat() -> None:
    """Above the high mark the coldest leave, down to the low mark, though all are hot; what may not move stays."""
    full = [disk(f"d-{n}", "hot", 100, 100.0 + n, came_from="cold") for n in range(8)]
    full[1] = msgspec.structs.replace(full[1], refused="pinned")
    found = evaluate(full, spaces(hot_used=810), POLICY)
    assert moves(found) == [("d-0", "warm", Why.SPACE)]
    assert moves(evaluate(full, spaces(hot_used=900), POLICY)) == [
        ("d-0", "warm", Why.SPACE),
        ("d-2", "warm", Why.SPACE),
    ]
    assert evaluate(full, spaces(hot_used=800), POLICY).advice == []


def test_colder_disks_make_room_for_a_hotter_one() -> None:
    cold = [disk(f"c-{n}", "hot", 100, 1.0 + n) for n in range(7)]
    found = evaluate([*cold, disk("db-01", gib=150, heat=500.0)], spaces(hot_used=750), POLICY)
    assert moves(found) == [("c-0", "warm", Why.SPACE), ("db-01", "hot", Why.HOT)]
    assert found.advice[0].makes_room_for == "db-01"
    assert found.advice[0].saved_s < 0
    nearly = [disk(f"c-{n}", "hot", 100, 300.0) for n in range(7)]
    assert evaluate([*nearly, disk("db-01", gib=150, heat=500.0)], spaces(hot_used=750), POLICY).advice == []


def test_tier_without_space_takes_part_in_nothing() -> None:
    known: dict[TierName, TierSpace] = {tier: space for tier, space in spaces(hot_used=40).items() if tier != "warm"}
    found = evaluate([disk("a", "cold"), disk("b", "hot", heat=0.0, idle_s=8 * DAY_S), disk("c")], known, POLICY)
    assert moves(found) == [("a", "hot", Why.HOT)]
    assert evaluate([disk()], {}, POLICY).advice == []
    assert evaluate([], spaces(), POLICY).advice == []


def test_disk_that_fits_into_no_fast_tier_does_not_raise_its_line() -> None:
    huge, small = disk("huge", gib=900, heat=1e6), [disk(f"s-{n}", gib=10, heat=50.0) for n in range(20)]
    found = evaluate([huge, *small], spaces(), POLICY)
    assert sorted(each.disk for each in found.advice) == sorted(each.id for each in small)
    assert found.lines["hot"] == POLICY.floor


def test_what_leaves_a_full_tier_goes_to_the_next_one() -> None:
    full = [disk(f"h-{n}", "hot", 100, 5000.0) for n in range(9)] + [
        disk(f"w-{n}", "warm", 500, 10.0) for n in range(18)
    ]
    tiers = spaces(hot_used=900)
    tiers["warm"] = msgspec.structs.replace(tiers["warm"], used_bytes=9000 * GIB)
    found = evaluate(full, tiers, POLICY).advice
    assert {(each.source, each.target) for each in found} == {("warm", "cold"), ("hot", "warm")}


def test_disk_that_bursts_does_not_keep_colder_ones_in_their_place() -> None:
    burst = disk("burst", "hot", 100, fast=900.0, slow=0.5)
    cold = [disk(f"c-{n}", "hot", 100, 1.0) for n in range(6)]
    found = evaluate([burst, *cold, disk("db-01", gib=150, heat=500.0)], spaces(hot_used=750), POLICY)
    assert moves(found) == [("c-0", "warm", Why.SPACE), ("db-01", "hot", Why.HOT)]


def test_disk_for_which_the_fastest_tier_has_no_room_goes_into_the_next_one() -> None:
    pinned = [disk(f"p-{n}", "hot", 400, 4000.0, refused="pinned") for n in range(2)]
    found = evaluate([*pinned, disk("db-01", "cold", heat=500.0)], spaces(hot_used=800), POLICY)
    assert moves(found) == [("db-01", "warm", Why.HOT)]


def test_room_that_a_move_makes_is_not_for_a_colder_disk() -> None:
    """A disk that leaves the warm tier makes room there, after the hotter of two equal disks found none."""
    twins = [disk("hotter", "cold", 421, heat=18.0), disk("colder", "cold", 421, heat=9.0)]
    tiers = spaces(hot_used=600)
    tiers["warm"] = msgspec.structs.replace(tiers["warm"], used_bytes=7600 * GIB)
    found = evaluate([*twins, disk("leaves", "warm", 71, heat=2.0)], tiers, POLICY)
    assert moves(found) == [("leaves", "hot", Why.HOT)]


def test_disks_that_stay_together_move_together_or_not_at_all() -> None:
    """A busy log and quiet data: apart only the log would move, together both are hot enough, or neither is."""
    log, data = disk("log", gib=1, heat=200.0), disk("data", gib=40, heat=0.1)
    assert [each.disk for each in evaluate([log, data], spaces(), POLICY).advice] == ["log"]
    pair = [msgspec.structs.replace(each, group="vm-1") for each in (log, data)]
    found = evaluate(pair, spaces(), POLICY)
    assert [(each.disk, each.target, each.fast) for each in found.advice] == [
        ("data", "hot", 0.1),
        ("log", "hot", 200.0),
    ]
    assert [each.together for each in found.advice] == [pytest.approx(200.1 / 41)] * 2
    assert found.above == {"log": READY + 1, "data": READY + 1}
    for name, change in (("log", {"refused": "pinned"}), ("data", {"moved_ago_s": 60.0}), ("log", {"above": 0})):
        held = [msgspec.structs.replace(each, **change) if each.id == name else each for each in pair]
        assert evaluate(held, spaces(), POLICY).advice == [], (name, change)
    assert evaluate(pair, spaces(hot_used=770), POLICY).advice == [], "there is room for the log alone"
    cold = [msgspec.structs.replace(each, tier="hot", fast=0.0, slow=0.0, idle_s=8 * DAY_S) for each in pair]
    assert len(evaluate(cold, spaces(hot_used=41), POLICY).advice) == 2
    half = [msgspec.structs.replace(cold[0], idle_s=0.0), cold[1]]
    assert evaluate(half, spaces(hot_used=41), POLICY).advice == []


def test_disk_follows_the_one_that_it_stays_with() -> None:
    moved = disk("log", "hot", 1, 200.0, group="vm-1", moved_ago_s=60.0, came_from="warm")
    left = disk("data", "warm", 40, 0.1, group="vm-1")
    assert moves(evaluate([moved, left], spaces(hot_used=1), POLICY)) == [("data", "hot", Why.HOT)]


def test_move_that_goes_over_the_budget_is_not_advised() -> None:
    prices = {"hot": TierClass(cost_per_gib_month=2.0), "warm": TierClass(cost_per_gib_month=0.5)}
    for budget, advised in ((None, True), (80.0, True), (79.0, False), (10.0, False)):
        limited = msgspec.structs.replace(POLICY, tiers=prices, budget_month=budget)
        assert bool(evaluate([disk()], spaces(), limited).advice) is advised, budget
    over = msgspec.structs.replace(POLICY, tiers=prices, budget_month=1.0)
    idle = disk("idle", "hot", heat=0.0, idle_s=8 * DAY_S)
    assert moves(evaluate([idle], spaces(hot_used=40), over)) == [("idle", "warm", Why.COLD)], "it saves"


# -- whatever the state is -------------------------------------------------------------------------------------------------

AGES = st.one_of(st.floats(0, 60 * DAY_S), st.just(math.inf))
DISKS = st.lists(
    st.builds(
        DiskState,
        id=st.uuids().map(str),
        tier=st.sampled_from(TIERS),
        size_bytes=st.integers(0, 900).map(lambda gib: gib * GIB),
        fast=st.floats(0, 5000),
        slow=st.floats(0, 5000),
        idle_s=AGES,
        observed_s=AGES,
        above=st.integers(0, 5),
        moved_ago_s=AGES,
        came_from=st.one_of(st.none(), st.sampled_from(TIERS)),
        group=st.sampled_from(["", "", "vm-1", "vm-2"]),
        refused=st.sampled_from(["", "", "", "pinned"]),
    ),
    max_size=30,
    unique_by=lambda each: each.id,
)
FULLNESS = st.fixed_dictionaries({tier: st.floats(0, 1.0) for tier in TIERS})


@dataclasses.dataclass
class State:
    """Disks, and tiers that are full to some part by them and others."""

    disks: list[DiskState]
    spaces: dict[TierName, TierSpace]

    @classmethod
    def of(cls, disks: list[DiskState], others: dict[TierName, float]) -> State:
        made: dict[TierName, TierSpace] = {}
        for tier, latency in zip(TIERS, (0.8, 6.0, 15.0), strict=True):
            own = sum(each.size_bytes for each in disks if each.tier == tier)
            capacity = max(own, 1000 * GIB)
            used = own + int((capacity - own) * others[tier])
            made[tier] = TierSpace(capacity_bytes=capacity, used_bytes=used, p50_ms=latency)
        return cls(disks, made)

    def advice(self) -> list[Advice]:
        return evaluate(self.disks, self.spaces, POLICY).advice


@given(DISKS, FULLNESS)
def test_no_move_fills_a_tier_over_its_mark(disks: list[DiskState], others: dict[TierName, float]) -> None:
    state = State.of(disks, others)
    used = {tier: space.used_bytes for tier, space in state.spaces.items()}
    for each in state.advice():
        used[each.target] += each.size_bytes
        limit = state.spaces[each.target].capacity_bytes * min(POLICY.high_mark, 1 - POLICY.spare)
        assert used[each.target] <= limit, "while both copies are there"
        used[each.source] -= each.size_bytes


@given(DISKS, FULLNESS)
def test_no_disk_moves_that_may_not(disks: list[DiskState], others: dict[TierName, float]) -> None:
    found = State.of(disks, others).advice()
    known = {each.id: each for each in disks}
    assert len({each.disk for each in found}) == len(found)
    for each in found:
        moved = known[each.disk]
        assert each.source == moved.tier != each.target
        assert not moved.refused
        assert moved.observed_s >= POLICY.observe_s
        assert moved.moved_ago_s >= POLICY.cooldown_s
        assert moved.came_from != each.target or moved.moved_ago_s >= POLICY.return_s


@given(DISKS, FULLNESS, st.randoms(use_true_random=False))
def test_the_same_state_gives_the_same_advice(
    disks: list[DiskState], others: dict[TierName, float], random: Any
) -> None:
    state = State.of(disks, others)
    first = state.advice()
    random.shuffle(state.disks)
    assert state.advice() == first


@given(DISKS, FULLNESS, st.floats(1.0, 100.0))
def test_hotter_disk_is_never_ranked_below_a_colder_equal_one(
    disks: list[DiskState], others: dict[TierName, float], times: float
) -> None:
    disks = [*(msgspec.structs.replace(each, group="") for each in disks[:1]), *disks[1:]]  # of a group all are one
    twins = [
        msgspec.structs.replace(each, id=f"{each.id}-hotter", fast=each.fast * times, slow=each.slow * times)
        for each in disks[:1]
    ]
    state = State.of([*disks, *twins], others)
    up = [each.disk for each in state.advice() if each.why is Why.HOT]
    down = [each.disk for each in state.advice() if each.why is not Why.HOT]
    for colder, hotter in zip(disks[:1], twins, strict=True):
        if colder.id in up and density(hotter) > density(colder):
            assert hotter.id in up
            assert up.index(hotter.id) < up.index(colder.id)
        if hotter.id in down and density(hotter) > density(colder):
            assert colder.id in down


def test_order_of_disks_that_stay_together_changes_nothing() -> None:
    rates = (1519.0, 2577.2752824712647, 1.2602507910752365)
    group = [disk(f"d-{n}", "warm", 10 + n, rate, group="vm-1") for n, rate in enumerate(rates)]
    first = evaluate(group, spaces(), POLICY)
    assert evaluate(group[::-1], spaces(), POLICY) == first
    assert evaluate([group[1], group[2], group[0]], spaces(), POLICY) == first
