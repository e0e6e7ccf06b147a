"""The time of heat: that of the wall, but it neither jumps nor goes back."""

from __future__ import annotations

import os
import time

from novacron_core.errors import InvalidArgument
from novacron_server.hypervisor.statistics.reader import clock

VARIABLE = "NOVACRON_HEAT_SPEED"
_DRIFT_S = 60.0


def speed() -> float:
    """How many times faster than real time heat changes: 1, but in tests. Raises InvalidArgument."""
    try:
        return float(os.environ.get(VARIABLE) or 1.0)
    except ValueError as e:
        raise InvalidArgument(f"{VARIABLE} is not a number") from e


class HeatClock:
    """Seconds since 1970, made from a monotonic clock. `speed`: how many times faster than real time it runs, for tests."""

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        self._wall, self._start = time.time(), clock()

    def at(self, boot_s: float) -> float:
        """The time at a moment of `hypervisor.statistics.reader.clock`."""
        return self._wall + (boot_s - self._start) * self.speed

    def now(self) -> float:
        return self.at(clock())

    def adjust(self) -> float:
        """Follow the wall clock if it was set. Returns by how many seconds all times of before must be shifted."""
        shift = time.time() - self.now()
        if self.speed != 1.0 or abs(shift) < _DRIFT_S:
            return 0.0
        self._wall += shift
        return shift
