"""The rate limit per user or client address: a fixed window of one minute in bounded memory.

The header names follow draft-ietf-httpapi-ratelimit-headers. Password guessing is slowed down per account in
access/backoff.py; this limit only keeps one client from overloading the server.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

_WINDOW_S = 60.0
_MAX_KEYS = 20_000
_HASHING = {"/auth/register", "/auth/invitation", "/auth/password-reset"}
"""Public endpoints that judge and hash a new password."""


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


def network_of(address: str) -> str:
    """The network that a client is counted by: the /64 of an IPv6 address, 127.0.0.0/8 for this machine, any other
    address itself.

    An IPv6 caller usually owns a whole /64, and a local one all of 127.0.0.0/8, so all its addresses count as one.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, IPv6Address) and (mapped := parsed.ipv4_mapped) is not None:
        parsed = mapped
    if isinstance(parsed, IPv6Address):
        return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"
    return "127.0.0.1" if parsed.is_loopback else str(parsed)


class Counts:
    """How often each key was counted in this minute. At _MAX_KEYS the one that was counted longest ago is forgotten."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._window_began = clock()
        self._counts: OrderedDict[tuple[str, str], int] = OrderedDict()

    def take(self, group: str, key: str, limit: int) -> Budget:
        """Count one request; the returned budget says whether it may pass."""
        now = self._clock()
        if now - self._window_began >= _WINDOW_S:
            self._window_began = now
            self._counts.clear()
        counted = (group, key)
        used = self._counts.get(counted, 0) + 1
        self._counts[counted] = used
        self._counts.move_to_end(counted)
        if len(self._counts) > _MAX_KEYS:
            self._counts.popitem(last=False)
        return Budget(limit, max(0, limit - used), _WINDOW_S - (now - self._window_began), used > limit)


class RateLimits:
    """Requests per minute of a user, or of a network for requests without a valid token: so nobody can use up the
    budget of those who are signed in. Counted in three groups: new accounts and passwords, sockets, everything else.

    Sign-ins are limited where the account is known, in access/service.py: a flood must not keep its owner out.
    """

    def __init__(
        self, *, requests: int = 6000, sign_in: int = 60, sockets: int = 60, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits = {"register": sign_in, "socket": sockets, "api": requests}
        self._counts = Counts(clock)

    def take(self, address: str, path: str, scope_type: str, user_id: str = "") -> Budget:
        """Count one request. `user_id` is empty without a valid token."""
        group = _group(path, scope_type)
        return self._counts.take(group, f"user {user_id}" if user_id else network_of(address), self._limits[group])


def _group(path: str, scope_type: str) -> str:
    if scope_type == "websocket":
        return "socket"
    return "register" if path in _HASHING else "api"
