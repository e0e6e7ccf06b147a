"""How often to read: as often as wanted, and less often where a round costs much."""

from __future__ import annotations

import random

_REMEMBERED = 0.8
"""Of an expensive round's cost in the next estimate when rounds become cheap again: slow to speed up, quick to slow down."""


class PollingInterval:
    """`period_s` is what is wanted. A round may take `share` of the time; `longest_s` is the most it is stretched to."""

    def __init__(self, period_s: float, *, share: float, longest_s: float = 60.0) -> None:
        self._wanted_s = period_s
        self._share = share
        self._longest_s = longest_s
        self._cost_s = 0.0
        self._failures = 0

    @property
    def period_s(self) -> float:
        """Seconds from the beginning of one round to that of the next."""
        stretched = max(self._wanted_s, self._cost_s / self._share) * 2.0**self._failures
        return min(stretched, max(self._wanted_s, self._longest_s))

    def took(self, seconds: float) -> None:
        """A round took so long."""
        self._failures = 0
        self._cost_s = max(seconds, self._cost_s * _REMEMBERED + seconds * (1 - _REMEMBERED))

    def failed(self) -> None:
        """A round failed: a host in trouble is asked less often."""
        self._failures = min(self._failures + 1, 4)

    def first_s(self) -> float:
        """How long to wait before the first round, so that hosts are not all asked at once."""
        return random.uniform(0.0, min(1.0, self._wanted_s / 5))  # noqa: S311 - spreads load, keeps no secret
