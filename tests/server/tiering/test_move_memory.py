"""What automatic moves remember: pauses that no change of the clock makes longer, and rows that do not multiply."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from novacron_core.rules.tiering.advice import Advice, Why
from novacron_core.rules.tiering.automatic import Held, MoveVerdict
from novacron_core.values.tiers import TierName
from novacron_server.tiering.automatic_moves.held import HeldMoves
from novacron_server.tiering.automatic_moves.memory import OFF, MoveMemory, place_of
from novacron_server.tiering.automatic_moves.repository import Decided

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
PLACE = ("host-1", "hot-to-warm")


def ended(result: str, at: datetime = NOW, volume: str = "v-1") -> Decided:
    return Decided(
        id=str(uuid4()), at=at, last_at=at, host="host-1", volume=volume, name=volume, source="hot", target="warm",
        result=result,
    )  # fmt: skip


def verdict(held: Held | None, volume: str = "v-1", reason: str = "because") -> MoveVerdict:
    source: TierName = "hot"
    advice = Advice(
        disk=volume,
        source=source,
        target="warm",
        why=Why.COLD,
        size_bytes=1,
        fast=0,
        slow=0,
        line=0,
        saved_s=0,
        copy_s=1,
    )
    return MoveVerdict(advice, held, reason)


def test_failures_are_counted_until_a_move_succeeds() -> None:
    memory = MoveMemory()
    for number in range(3):
        memory.note_end(ended("failed" if number % 2 else "stopped", NOW + number * HOUR))
    assert memory.failures(PLACE, NOW + 3 * HOUR) == (3, 3600)  # type: ignore[arg-type]
    memory.note_end(msgspec.structs.replace(ended("stopped"), cause=OFF))
    assert memory.failures(PLACE, NOW)[0] == 3, "what was turned off says nothing of the tiers"  # type: ignore[arg-type]
    memory.note_end(ended("cancelled"))
    assert memory.failures(PLACE, NOW)[0] == 3, "a person who cancels says nothing of the tiers"  # type: ignore[arg-type]
    memory.note_end(ended("moved"))
    assert memory.failures(PLACE, NOW) == (0, 0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("result", "rests"), [("failed", 24), ("cancelled", 24), ("held", 1), ("stopped", 0), ("moved", 0)]
)
def test_volume_rests_after_a_move_that_did_not_succeed(result: str, rests: int) -> None:
    memory = MoveMemory()
    memory.note_end(ended(result))
    assert bool(memory.why_rests("v-1", NOW + rests * HOUR - timedelta(seconds=1))) is bool(rests)
    assert memory.why_rests("v-1", NOW + rests * HOUR) == ""
    assert memory.why_rests("v-2", NOW) == ""
    memory.note_end(msgspec.structs.replace(ended("held", volume="v-3"), cause=OFF))
    assert memory.why_rests("v-3", NOW) == "", "it may begin as soon as it is turned on"


def test_clock_that_is_set_back_makes_no_pause_longer() -> None:
    memory = MoveMemory()
    memory.note_end(ended("failed"))
    earlier = NOW - timedelta(days=30)
    assert memory.failures(PLACE, earlier) == (1, 0)  # type: ignore[arg-type]
    assert memory.failures(PLACE, earlier + HOUR) == (1, 3600)  # type: ignore[arg-type]
    assert memory.why_rests("v-1", earlier) == ""


@pytest.mark.parametrize(("source", "target"), [("hot", "hot"), ("hot", "lukewarm")])
def test_place_of_tiers_that_there_are_not(source: str, target: str) -> None:
    with pytest.raises(ValueError, match=r"tier|pair"):
        place_of(msgspec.structs.replace(ended("moved"), source=source, target=target))


def rows_of(held: HeldMoves, minutes: int, verdicts: Any) -> tuple[set[str], int]:
    """The rows that some minutes of decisions make, two a minute, and how often one is stored."""
    stored = list[Decided]()
    for half in range(2 * minutes):
        now = NOW + timedelta(seconds=30 * half)

        def made(each: MoveVerdict, at: datetime = now) -> Decided:
            return ended("held", at, each.advice.disk)

        stored += held.remember("host-1", verdicts(half), now, made)
    return {each.id for each in stored}, len(stored)


def test_the_same_decision_is_one_row_and_stored_once_an_hour() -> None:
    rows, stored = rows_of(HeldMoves(), 12 * 60, lambda _: [verdict(Held.TURN)])
    assert (len(rows), stored) == (1, 12)


def test_reasons_that_alternate_make_a_row_each_and_not_one_each_time() -> None:
    causes = [Held.TURN, Held.SLOW, Held.WINDOW]
    rows, stored = rows_of(HeldMoves(), 12 * 60, lambda half: [verdict(causes[half % 3])])
    assert len(rows) == 3
    assert stored <= 3 * 13


def test_what_is_no_longer_advised_is_stored_with_its_last_count() -> None:
    held = HeldMoves()
    rows_of(held, 30, lambda _: [verdict(Held.TURN)])
    others = held.remember("host-2", [], NOW, lambda _: ended("held"))
    (last,) = held.remember("host-1", [], NOW + HOUR, lambda _: ended("held"))
    assert (others, last.times) == ([], 60)
    assert held.remember("host-1", [], NOW + 2 * HOUR, lambda _: ended("held")) == []
