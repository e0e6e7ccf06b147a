"""The rate limit per client address: a fixed window of one minute in bounded memory.

The header names follow draft-ietf-httpapi-ratelimit-headers. Password guessing is slowed down per account in
access/backoff.py; this limit only keeps one address from overloading the server.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

_WINDOW_S = 60.0
_MAX_ADDRESSES = 20_000


@dataclass(frozen=True, slots=True)
class Budget:
    """What a client may still send in this window."""

    limit: int
    remaining: int
    reset_s: float
    refused: bool

    @property
    def retry_after_s(self) -> float:
        return max(1.0, self.reset_s)

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        return (
            (b"ratelimit-limit", str(self.limit).encode()),
            (b"ratelimit-remaining", str(self.remaining).encode()),
            (b"ratelimit-reset", str(max(0, round(self.reset_s))).encode()),
        )


class RateLimits:
    """Requests per minute and address, counted in three groups: sign-in, sockets, everything else."""

    def __init__(
        self, *, requests: int = 6000, sign_in: int = 60, sockets: int = 60, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits = {"auth": sign_in, "socket": sockets, "api": requests}
        self._clock = clock
        self._window_began = clock()
        self._counts: dict[tuple[str, str], int] = {}

    def take(self, address: str, path: str, scope_type: str) -> Budget:
        """Count one request; the returned budget says whether it may pass."""
        now = self._clock()
        if now - self._window_began >= _WINDOW_S or len(self._counts) >= _MAX_ADDRESSES:
            self._window_began = now
            self._counts.clear()
        group = _group(path, scope_type)
        used = self._counts.get((group, address), 0) + 1
        self._counts[group, address] = used
        limit = self._limits[group]
        return Budget(limit, max(0, limit - used), _WINDOW_S - (now - self._window_began), used > limit)


def _group(path: str, scope_type: str) -> str:
    if scope_type == "websocket":
        return "socket"
    return "auth" if path in ("/auth/login", "/auth/register", "/auth/refresh") else "api"
