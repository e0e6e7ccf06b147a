"""The server's time, as this machine knows it: ages and time ranges are those of the server, whose events they measure.

The clocks of an operator's machine and of a server may differ by minutes. The server tells its time when a connection
begins and in each heartbeat.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta

from novacron_core.values.ages import CLOCK_TOLERANCE_S, MAX_CLOCK_ERROR, duration_words

_READINGS = 3
"""Heartbeats that are compared: one that was delayed on its way seems too early."""


class ServerClock:
    """Call it for the server's time. `local` is the clock of this machine. It is measured with `start` and `note`."""

    def __init__(self, local: Callable[[], datetime]) -> None:
        self._local = local
        self._ahead_s: deque[float] = deque(maxlen=_READINGS)
        """By how many seconds the server's clock is ahead, at least: a time is older when it arrives."""
        self._uncertain_s = 0.0
        self._said = False

    def __call__(self) -> datetime:
        return self._local() + timedelta(seconds=self.ahead_s)

    @property
    def ahead_s(self) -> float:
        """The seconds by which the server's clock is ahead of this machine's; negative when it is behind."""
        return max(self._ahead_s) + self._uncertain_s / 2 if self._ahead_s else 0.0

    def start(self, server_time: datetime, took_s: float) -> None:
        """Note the time that a new connection begins with, `took_s` seconds after it was requested."""
        self._ahead_s.clear()
        self._uncertain_s = took_s
        self._ahead_s.append(self._measure(server_time))

    def note(self, server_time: datetime) -> None:
        """Note the time of a heartbeat."""
        self._ahead_s.append(self._measure(server_time))

    def take_warning(self) -> str:
        """The sentence about a difference between the clocks, once; empty while there is none."""
        if self._said or not self._ahead_s:
            return ""
        least_s = max(self._ahead_s)
        most_s = least_s + self._uncertain_s
        if most_s >= -CLOCK_TOLERANCE_S and least_s <= CLOCK_TOLERANCE_S:
            return ""
        self._said = True
        side = "behind" if least_s > 0 else "ahead of"
        difference = duration_words(abs(self.ahead_s))
        return f"This machine's clock is {difference} {side} the server's. Ages use the server's clock."

    def _measure(self, server_time: datetime) -> float:
        ahead = server_time - self._local()
        return max(-MAX_CLOCK_ERROR, min(MAX_CLOCK_ERROR, ahead)).total_seconds()
