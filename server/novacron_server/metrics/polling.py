"""How often to poll: at the configured interval, or less often if a read is expensive."""

from __future__ import annotations

import random

_DECAY = 0.8
"""Weight of the old cost estimate when reads become cheaper: the interval grows quickly and shrinks slowly."""


class PollingInterval:
    """`period_s`: configured interval. `share`: part of the time that reads may take. `longest_s`: maximum interval."""

    def __init__(self, period_s: float, *, share: float, longest_s: float = 60.0) -> None:
        self._wanted_s = period_s
        self._share = share
        self._longest_s = longest_s
        self._cost_s = 0.0
        self._failures = 0

    @property
    def period_s(self) -> float:
        """Seconds from the start of one read to the start of the next."""
        stretched = max(self._wanted_s, self._cost_s / self._share) * 2.0**self._failures
        return min(stretched, max(self._wanted_s, self._longest_s))

    def record(self, seconds: float) -> None:
        """Record the duration of a successful read."""
        self._failures = 0
        self._cost_s = max(seconds, self._cost_s * _DECAY + seconds * (1 - _DECAY))

    def record_failure(self) -> None:
        """Record a failed read: a failing host is polled less often."""
        self._failures = min(self._failures + 1, 4)

    def initial_delay_s(self) -> float:
        """How long to wait before the first read, so that hosts are not all read at the same time."""
        return random.uniform(0.0, min(1.0, self._wanted_s / 5))  # noqa: S311 - spreads load, not security-relevant
