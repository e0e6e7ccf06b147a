"""The time for jobs that delete old data: a system clock that jumps ahead must not make everything expire at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

_JUMP = timedelta(hours=1)
_TRUSTED_AFTER_S = 86_400.0


def _wall() -> datetime:
    return datetime.now(UTC)


def _steady() -> float:
    """Seconds of a clock that cannot be set and that keeps running while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class GuardedClock:
    """The wall clock; but a jump ahead by an hour or more is only trusted when it persists for a day."""

    def __init__(self, wall: Callable[[], datetime] | None = None, steady: Callable[[], float] | None = None) -> None:
        self._wall, self._steady = wall or _wall, steady or _steady
        self._trusted = (self._wall(), self._steady())
        self._jumped_at: float | None = None

    def now(self) -> datetime:
        """The current time in UTC, never later than the wall clock."""
        wall, steady = self._wall(), self._steady()
        trusted_wall, trusted_steady = self._trusted
        expected = trusted_wall + timedelta(seconds=steady - trusted_steady)
        if wall - expected < _JUMP:
            self._jumped_at = None
        else:
            self._jumped_at = steady if self._jumped_at is None else self._jumped_at
            if steady - self._jumped_at < _TRUSTED_AFTER_S:
                return expected
        self._trusted = (wall, steady)
        return wall
