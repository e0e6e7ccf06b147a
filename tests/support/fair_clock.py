"""A clock that stops while this machine is stalled, so that time limits in tests do not fail on a busy machine."""

from __future__ import annotations

import threading
import time

_TICK_S = 0.02
_STALL_S = 0.1
"""A tick later than this means a stall. Blocking one thread or an event loop does not delay ticks."""


class _Ticks:
    """Counts the seconds in which a thread that only sleeps was not woken up."""

    def __init__(self) -> None:
        self.lost_s = 0.0
        self.ticked_at = time.monotonic()
        self._lock = threading.Lock()
        threading.Thread(target=self._run, name="fair clock", daemon=True).start()

    def now(self) -> float:
        with self._lock:
            at = time.monotonic()
            return at - self.lost_s - self._late(at)

    def _late(self, at: float) -> float:
        late_s = at - self.ticked_at - _TICK_S
        return late_s if late_s > _STALL_S else 0.0

    def _run(self) -> None:
        while True:
            time.sleep(_TICK_S)
            with self._lock:
                at = time.monotonic()
                self.lost_s += self._late(at)
                self.ticked_at = at


_ticks: _Ticks | None = None


def fair_now() -> float:
    """The seconds of time.monotonic(), without those in which this machine was stalled."""
    global _ticks
    _ticks = _ticks or _Ticks()
    return _ticks.now()
