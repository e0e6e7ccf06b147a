"""Automatic moves: what begins, what waits and why, and what never happens whatever the state is."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novacron_core.api.automatic import AutomaticPolicy, PairPolicy
from novacron_core.api.tiering import StoragePolicy
from novacron_core.rules.tiering.advice import Advice, Why
from novacron_core.rules.tiering.automatic import Held, PairNow, TierNow, considered, decide
from novacron_core.rules.tiering.policy import why_not_policy
from novacron_core.values.sizes import GIB
from novacron_core.values.tiers import TIERS, TierName, TierPair, pair_of

PAIRS: list[TierPair] = [pair_of(a, b) for a in TIERS for b in TIERS if a != b]
TIERS_NOW: dict[TierName, TierNow] = {tier: TierNow(capacity_bytes=1000 * GIB, used_bytes=0) for tier in TIERS}


def policy(*on: TierPair, enabled: bool = True, **more: Any) -> StoragePolicy:
    pairs = {pair: PairPolicy(enabled=True, window="22:00-06:00") for pair in on}
    return StoragePolicy(automatic=AutomaticPolicy(enabled=enabled, pairs=pairs, **more))


def advised(
    name: str = "db-01", source: TierName = "warm", target: TierName = "hot", gib: int = 10, makes_room_for: str = ""
) -> Advice:
    why = Why.SPACE if makes_room_for else Why.HOT
    return Advice(
        disk=name, source=source, target=target, why=why, size_bytes=gib * GIB, fast=1.0, slow=1.0, line=0.1, saved_s=1.0,
        copy_s=1.0, makes_room_for=makes_room_for,
    )  # fmt: skip


def held(found: list[Any]) -> dict[str, Held | None]:
    return {verdict.advice.disk: verdict.held for verdict in found}


def test_nothing_is_decided_unless_it_is_turned_on() -> None:
    move = [(advised(), "")]
    assert decide(move, StoragePolicy(), TIERS_NOW, {}) == []
    assert decide(move, policy("warm-to-hot", enabled=False), TIERS_NOW, {}) == []
    assert decide(move, policy("hot-to-warm"), TIERS_NOW, {}) == []
    assert held(decide(move, policy("warm-to-hot"), TIERS_NOW, {})) == {"db-01": None}


@pytest.mark.parametrize(
    ("pair", "reason", "words"),
    [
        (PairNow(moving="another volume"), Held.TURN, "one move at a time"),
        (PairNow(is_open=False), Held.WINDOW, "begin at 22:00-06:00 UTC"),
        (PairNow(failures=1, failed_ago_s=3599), Held.FAILED, "next try in 1s"),
        (PairNow(failures=3, failed_ago_s=4 * 3600 - 60), Held.FAILED, "3 moves running"),
        (PairNow(failures=1000, failed_ago_s=86_399), Held.FAILED, "did not succeed"),
    ],
)
def test_pair_waits(pair: PairNow, reason: Held, words: str) -> None:
    (verdict,) = decide([(advised(), "")], policy("warm-to-hot"), TIERS_NOW, {"warm-to-hot": pair})
    assert verdict.held is reason
    assert words in verdict.reason


@pytest.mark.parametrize(
    "pair", [PairNow(), PairNow(failures=1, failed_ago_s=3600), PairNow(failures=1000, failed_ago_s=86_400)]
)
def test_pair_goes_on(pair: PairNow) -> None:
    (verdict,) = decide([(advised(), "")], policy("warm-to-hot"), TIERS_NOW, {"warm-to-hot": pair})
    assert verdict.held is None


@pytest.mark.parametrize("tier", ["warm", "hot"])
@pytest.mark.parametrize(
    ("now", "usual", "slow"),
    [
        (15.1, None, True), (15.0, None, False), (14.0, 9.0, True), (13.4, 9.0, False), (1.9, 0.2, False),
        (2.1, 0.2, True), (None, 9.0, False), (20.0, 40.0, True),
    ],
)  # fmt: skip
def test_slow_source_or_target_stops_it(tier: TierName, now: float | None, usual: float | None, slow: bool) -> None:
    tiers = {**TIERS_NOW, tier: TierNow(capacity_bytes=1000 * GIB, used_bytes=0, p90_ms=now, usual_ms=usual)}
    (verdict,) = decide([(advised(), "")], policy("warm-to-hot"), tiers, {})
    assert verdict.held is (Held.SLOW if slow else None)
    assert not slow or f"{tier} is slow" in verdict.reason


def test_refused_advice_is_held_with_the_reason() -> None:
    (verdict,) = decide([(advised(), "db-01 is pinned to warm")], policy("warm-to-hot"), TIERS_NOW, {})
    assert (verdict.held, verdict.reason) == (Held.REFUSED, "db-01 is pinned to warm")


def test_one_move_of_each_pair_begins_and_pairs_do_not_wait_for_each_other() -> None:
    moves = [advised("a"), advised("b"), advised("c", "hot", "cold"), advised("d", "cold", "hot")]
    found = decide([(move, "") for move in moves], policy(*PAIRS), TIERS_NOW, {})
    assert held(found) == {"a": None, "b": Held.TURN, "c": None, "d": None}


def test_move_waits_until_its_room_is_made() -> None:
    full = {**TIERS_NOW, "hot": TierNow(capacity_bytes=100 * GIB, used_bytes=75 * GIB)}
    moves = [(advised("cold", "hot", "warm", makes_room_for="busy"), ""), (advised("busy"), "")]
    assert held(decide(moves, policy(*PAIRS), full, {})) == {"cold": None, "busy": Held.ROOM}


def test_nothing_makes_room_for_what_does_not_move() -> None:
    full = {**TIERS_NOW, "hot": TierNow(capacity_bytes=100 * GIB, used_bytes=75 * GIB)}
    room = advised("cold", "hot", "warm", makes_room_for="busy")
    one_way = decide([(room, ""), (advised("busy"), "")], policy("hot-to-warm"), full, {})
    assert held(one_way) == {"cold": Held.PARTNER}
    closed = decide([(room, ""), (advised("busy"), "")], policy(*PAIRS), full, {"warm-to-hot": PairNow(is_open=False)})
    assert held(closed) == {"cold": Held.PARTNER, "busy": Held.WINDOW}
    refused = decide([(room, ""), (advised("busy"), "pinned")], policy(*PAIRS), full, {})
    assert held(refused) == {"cold": Held.PARTNER, "busy": Held.REFUSED}
    others = decide([(room, ""), (advised("busy"), "")], policy(*PAIRS), full, {"warm-to-hot": PairNow(moving="x")})
    assert held(others) == {"cold": None, "busy": Held.TURN}


def test_pairs_that_are_off_leave_the_others_their_places() -> None:
    idle = [(advised(f"idle-{n}", "hot", "cold"), "") for n in range(150)]
    refused = [(advised(f"pinned-{n}", "cold", "hot"), "pinned") for n in range(150)]
    busy = [(advised("busy", "cold", "hot"), "")]
    found = considered([*idle, *refused, *busy], policy("cold-to-hot").automatic, 100)
    assert [each[0].disk for each in found if not each[1]] == ["busy"]
    assert len(found) == 100
    both = considered([*idle, *busy], policy("cold-to-hot", "hot-to-cold").automatic, 100)
    assert len(both) == 101
    assert found[-1][0].disk == "busy", "in their order"


def test_disks_that_stay_together_begin_when_all_of_them_may() -> None:
    pair = [msgspec.structs.replace(advised(name, gib=20), members=("data", "log")) for name in ("data", "log")]
    roomy = {**TIERS_NOW, "hot": TierNow(capacity_bytes=100 * GIB, used_bytes=40 * GIB)}
    assert held(decide([(move, "") for move in pair], policy("warm-to-hot"), roomy, {})) == {
        "data": None,
        "log": Held.TURN,
    }
    tight = {**TIERS_NOW, "hot": TierNow(capacity_bytes=100 * GIB, used_bytes=41 * GIB)}
    assert held(decide([(move, "") for move in pair], policy("warm-to-hot"), tight, {})) == {
        "data": Held.ROOM, "log": Held.ROOM,
    }  # fmt: skip
    resting = decide([(pair[0], ""), (pair[1], "was cancelled")], policy("warm-to-hot"), roomy, {})
    assert held(resting) == {"data": Held.PARTNER, "log": Held.REFUSED}
    assert held(decide([(pair[0], "")], policy("warm-to-hot"), roomy, {})) == {"data": Held.PARTNER}


tier_names = st.sampled_from(TIERS)
moves = st.lists(
    st.tuples(
        st.tuples(tier_names, tier_names).filter(lambda pair: pair[0] != pair[1]),
        st.integers(1, 400),
        st.sampled_from(["", "", "", "pinned"]),
    ),
    max_size=12,
)
tier_states = st.fixed_dictionaries(
    {
        tier: st.builds(
            TierNow,
            capacity_bytes=st.integers(1, 1000).map(lambda gib: gib * GIB),
            used_bytes=st.integers(0, 900).map(lambda gib: gib * GIB),
            p90_ms=st.none() | st.floats(0, 40),
            usual_ms=st.none() | st.floats(0, 40),
        )
        for tier in TIERS
    }
)
pair_states = st.dictionaries(
    st.sampled_from(PAIRS),
    st.builds(
        PairNow,
        is_open=st.booleans(),
        moving=st.sampled_from(["", "another volume"]),
        failures=st.integers(0, 3),
        failed_ago_s=st.floats(0, 90_000),
    ),
)


@given(moves, tier_states, pair_states, st.sets(st.sampled_from(PAIRS)))
def test_what_begins_is_allowed_whatever_the_state_is(
    given_moves: list[Any], tiers: Any, pairs: dict[TierPair, PairNow], on: set[TierPair]
) -> None:
    rules = policy(*on)
    advice = [(advised(f"v{n}", pair[0], pair[1], gib), refused) for n, (pair, gib, refused) in enumerate(given_moves)]
    found = decide(advice, rules, tiers, pairs)
    assert found == decide(advice, rules, tiers, pairs)
    begun = [verdict.advice for verdict in found if verdict.held is None]
    refused_disks = {move.disk for move, refused in advice if refused}
    used = {tier: now.used_bytes for tier, now in tiers.items()}
    of_pairs = [pair_of(move.source, move.target) for move in begun]
    assert len(of_pairs) == len(set(of_pairs)), "one at a time"
    for move, pair in zip(begun, of_pairs, strict=True):
        used[move.target] += move.size_bytes
        known = pairs.get(pair, PairNow())
        assert pair in on
        assert move.disk not in refused_disks
        assert known.is_open and not known.moving
        assert used[move.target] <= tiers[move.target].capacity_bytes * min(rules.high_mark, 1 - rules.spare)
        assert all((tiers[tier].p90_ms or 0) <= rules.automatic.stop_ms for tier in (move.source, move.target))
    assert all(verdict.reason for verdict in found if verdict.held is not None)


@pytest.mark.parametrize(
    ("automatic", "field"),
    [
        ({"time_zone": "Mars/Olympus"}, "automatic.time_zone"),
        ({"time_zone": "../etc/passwd"}, "automatic.time_zone"),
        ({"time_zone": "Europe"}, "automatic.time_zone"),
        ({"time_zone": ""}, "automatic.time_zone"),
        ({"pairs": {"warm-to-hot": PairPolicy(window="at night")}}, "automatic.pairs.warm-to-hot.window"),
        ({"pairs": {"warm-to-hot": PairPolicy(bandwidth_bytes_s=1)}}, "automatic.pairs.warm-to-hot.bandwidth_bytes_s"),
    ],
)
def test_settings_that_cannot_work_are_named(automatic: dict[str, Any], field: str) -> None:
    changed = msgspec.structs.replace(StoragePolicy(), automatic=AutomaticPolicy(**automatic))
    assert list(why_not_policy(changed)) == [field]
