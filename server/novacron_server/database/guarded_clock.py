"""What time it is, for what forgets for ever: a clock that jumps ahead must not make everything old at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

_JUMP = timedelta(hours=1)
_BELIEVED_AFTER_S = 86_400.0


def _wall() -> datetime:
    return datetime.now(UTC)


def _steady() -> float:
    """Seconds of a clock that nobody sets and that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class GuardedClock:
    """The wall clock; but one that was set ahead by hours is believed only when it still says so a day later."""

    def __init__(self, wall: Callable[[], datetime] | None = None, steady: Callable[[], float] | None = None) -> None:
        self._wall, self._steady = wall or _wall, steady or _steady
        self._believed = (self._wall(), self._steady())
        self._doubted_at: float | None = None

    def now(self) -> datetime:
        """Never later than the wall clock says."""
        wall, steady = self._wall(), self._steady()
        time_then, steady_then = self._believed
        expected = time_then + timedelta(seconds=steady - steady_then)
        if wall - expected < _JUMP:
            self._doubted_at = None
        else:
            self._doubted_at = steady if self._doubted_at is None else self._doubted_at
            if steady - self._doubted_at < _BELIEVED_AFTER_S:
                return expected
        self._believed = (wall, steady)
        return wall
