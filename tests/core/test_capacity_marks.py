"""When a tier is told to be too full, and when to have room again."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from novacron_core.api.tiering import StoragePolicy
from novacron_core.rules.event_words import event_words, is_notable
from novacron_core.rules.tiering.marks import TYPES, Fill, fill_after, fill_text, is_told
from novacron_core.values.sizes import GIB

POLICY = StoragePolicy()


def told(uses: Iterable[float], policy: StoragePolicy = POLICY) -> list[str]:
    """The events of a tier that is used so much, one after another."""
    now, events = Fill.NORMAL, []
    for used in uses:
        after = fill_after(now, used, policy)
        if is_told(now, after):
            events.append(TYPES[after])
        now = after
    return events


@pytest.mark.parametrize(
    ("uses", "events"),
    [
        ((0.10, 0.76, 0.80), []),
        ((0.10, 0.81, 0.85, 0.90), ["tier.filling"]),
        ((0.10, 0.91, 0.99), ["tier.nearly_full"]),
        ((0.81, 0.91), ["tier.filling", "tier.nearly_full"]),
        ((0.81, 0.79, 0.81, 0.76, 0.84, 0.75), ["tier.filling"]),
        ((0.91, 0.89, 0.91, 0.85, 0.92), ["tier.nearly_full"]),
        ((0.91, 0.79, 0.91), ["tier.nearly_full", "tier.nearly_full"]),
        ((0.91, 0.79, 0.76, 0.74), ["tier.nearly_full", "tier.relieved"]),
        ((0.81, 0.70, 0.74, 0.81), ["tier.filling", "tier.relieved", "tier.filling"]),
        ((0.95, 0.10), ["tier.nearly_full", "tier.relieved"]),
    ],
)
def test_each_crossing_is_told_once(uses: tuple[float, ...], events: list[str]) -> None:
    assert told(uses) == events


@pytest.mark.parametrize(
    "policy",
    [
        StoragePolicy(high_mark=0.95, low_mark=0.92),
        StoragePolicy(high_mark=0.89, low_mark=0.85),
        StoragePolicy(high_mark=1.0, low_mark=0.9, spare=0.0),
        StoragePolicy(spare=0.5),
    ],
)
def test_space_that_goes_up_and_down_by_less_than_the_gap_is_told_once_at_any_mark(policy: StoragePolicy) -> None:
    gap = policy.high_mark - policy.low_mark
    for mark in (policy.high_mark, 1 - policy.spare):
        if mark < 1:
            events = told([mark + gap * 0.4, mark - gap * 0.4] * 10, policy)
            assert len(events) == len(set(events)), (mark, events)
            assert "tier.relieved" not in events


@pytest.mark.parametrize(
    ("fill", "used", "says"),
    [
        (Fill.FILLING, 83, "hot on kvm-a is filling up: 83% used, 83 GiB of 100 GiB. Its mark is 80%; "
                           "novacron storage advice shows what can leave"),
        (Fill.NEARLY_FULL, 95, "hot on kvm-a is nearly full: 95% used, 95 GiB of 100 GiB. Less than 10% is free; "
                               "novacron storage advice shows what can leave"),
        (Fill.NORMAL, 60, "hot on kvm-a has room again: 60% used, 60 GiB of 100 GiB"),
    ],
)  # fmt: skip
def test_sentence_says_where_how_much_and_what_to_do(fill: Fill, used: int, says: str) -> None:
    assert fill_text(fill, ["hot"], "kvm-a", used * GIB, 100 * GIB, POLICY) == says


def test_tiers_on_one_disk_are_told_of_together_with_what_helps_there() -> None:
    says = fill_text(Fill.FILLING, ["hot", "warm", "cold"], "kvm-a", 83 * GIB, 100 * GIB, POLICY)
    assert says.startswith("The disk of hot, warm and cold on kvm-a is filling up")
    assert says.endswith("a move between them frees nothing: delete volumes, or add a pool on another disk")


def test_activity_has_words_for_each_event() -> None:
    words = {kind: event_words(kind) for kind in TYPES.values()}
    assert words == {
        "tier.filling": "filling up", "tier.nearly_full": "nearly full", "tier.relieved": "has room again",
    }  # fmt: skip
    assert all(is_notable(kind, "") for kind in TYPES.values())
