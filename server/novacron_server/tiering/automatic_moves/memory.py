"""What the server remembers of its automatic moves: those under way, and the pauses after those that did not succeed."""

from __future__ import annotations

from datetime import datetime, timedelta

from novacron_core.rules.tiering.automatic import Held
from novacron_core.values.tiers import TierPair, pair_of, tier_named
from novacron_server.tiering.automatic_moves.repository import CANCELLED, FAILED, HELD, MOVED, STOPPED, Decided

REST = timedelta(days=1)
"""A volume whose move failed, or was cancelled by somebody, is not moved by itself for so long."""
SHORT_REST = timedelta(hours=1)
"""And one whose move was refused."""
OFF = "off"
"""The cause of a move that was stopped because it was turned off: that says nothing of its tiers."""
_WHY = {FAILED: "failed", CANCELLED: "was cancelled", HELD: "was refused"}
Place = tuple[str, TierPair]
"""A host's id, and two of its tiers."""


class MoveMemory:
    """`moving`: the moves under way, by their decision. `stopping`: why the server stops a move, by its operation. `speed`:
    how many times faster than real time pauses pass, for tests."""

    def __init__(self, speed: float = 1.0) -> None:
        self._speed = speed
        self.moving: dict[str, Decided] = {}
        self.stopping: dict[str, str] = {}
        self._failures: dict[Place, tuple[int, datetime]] = {}
        self._resting: dict[str, tuple[datetime, str]] = {}

    def moving_at(self, place: Place) -> Decided | None:
        """The move under way between two tiers of a host."""
        return next((each for each in self.moving.values() if place_of(each) == place), None)

    def failures(self, place: Place, now: datetime) -> tuple[int, float]:
        """How many moves running did not succeed, and how many seconds ago the last one ended. A clock that was set back
        makes no pause longer."""
        count, last = self._failures.get(place, (0, now))
        if last > now:
            self._failures[place] = count, now
        return count, max(0.0, (now - last).total_seconds()) * self._speed

    def why_rests(self, volume_id: str, now: datetime) -> str:
        """Why a volume is not moved by itself now, as a sentence; empty if it may be."""
        until, why = self._resting.get(volume_id, (now, ""))
        if now < until <= now + REST:
            return why
        self._resting.pop(volume_id, None)
        return ""

    def note_end(self, ended: Decided) -> None:
        """Remember what follows from the end of a move: pauses of its pair, and of its volume."""
        place = place_of(ended)
        if ended.result == MOVED:
            self._failures.pop(place, None)
        elif ended.result in (FAILED, STOPPED) and ended.cause != OFF:
            self._failures[place] = self._failures.get(place, (0, ended.last_at))[0] + 1, ended.last_at
        if (why := _WHY.get(ended.result)) is not None and ended.cause not in (OFF, Held.SLOW):
            until = ended.last_at + (SHORT_REST if ended.result == HELD else REST) / self._speed
            words = f"its last automatic move {why}: not again before {until:%Y-%m-%d %H:%M} UTC"
            self._resting[ended.volume] = until, words


def place_of(decided: Decided) -> Place:
    """Raises ValueError for tiers that there are not."""
    return decided.host, pair_of(tier_named(decided.source), tier_named(decided.target))
