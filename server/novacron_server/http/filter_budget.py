"""What filters of one user may cost: a filter is evaluated for every object, on the event loop that serves everybody."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from novacron_core.errors import RateLimited

PER_S = 200_000
"""Comparisons (words of a filter times objects) per second; a million take about half a second."""
BURST = 2_000_000
_MAX_USERS = 10_000


class FilterBudget:
    """A token bucket for each user. `objects` counts what a filter is compared with."""

    def __init__(self, objects: Callable[[], int] = lambda: 0, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._objects = objects
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def charge(self, user_id: str, words: int) -> None:
        """Charge one filter of so many words. A filter larger than what is left passes, and the next one waits longer.

        Raises RateLimited with the delay.
        """
        now = self._clock()
        left, since = self._left.get(user_id, (float(BURST), now))
        left = min(float(BURST), left + (now - since) * PER_S)
        if left <= 0:
            raise RateLimited("too many long filters; use shorter ones", retry_after_s=max(1.0, -left / PER_S))
        self._left[user_id] = (left - words * self._objects(), now)
        self._left.move_to_end(user_id)
        if len(self._left) > _MAX_USERS:
            self._left.popitem(last=False)
