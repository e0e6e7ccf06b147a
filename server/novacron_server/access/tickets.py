"""Tickets for one WebSocket handshake: a browser cannot send a header there, and a token must not appear in a URL."""

from __future__ import annotations

import time
from collections import OrderedDict

from novacron_core.api.access import Ticket
from novacron_core.errors import RateLimited, Unauthenticated
from novacron_core.rules.visibility import Principal
from novacron_server.access.tokens import fingerprint, opaque

LIFETIME_S = 30
MAX_TICKETS = 10_000
MAX_PER_SESSION = 20


class Tickets:
    """Unused tickets, hashed and in memory only. Each can be redeemed once; a restart invalidates all."""

    def __init__(self) -> None:
        self._tickets: OrderedDict[bytes, tuple[float, Principal]] = OrderedDict()

    def issue(self, principal: Principal) -> Ticket:
        """Create a ticket. Raises RateLimited when the session has too many unused ones."""
        self._drop_expired()
        unused = sum(1 for _, other in self._tickets.values() if other.session_id == principal.session_id)
        if unused >= MAX_PER_SESSION or len(self._tickets) >= MAX_TICKETS:
            raise RateLimited("too many unused tickets", retry_after_s=float(LIFETIME_S))
        ticket = opaque()
        self._tickets[fingerprint(ticket)] = (time.monotonic() + LIFETIME_S, principal)
        return Ticket(ticket=ticket, expires_in=LIFETIME_S)

    def redeem(self, ticket: str) -> Principal:
        """Redeem a ticket and return its user. Raises Unauthenticated when it is unknown, used or expired."""
        until, principal = self._tickets.pop(fingerprint(ticket), (0.0, None))
        if principal is None or time.monotonic() > until:
            raise Unauthenticated("The ticket is not valid. Request a new one.")
        return principal

    def delete_of_session(self, session_id: str) -> None:
        for key in [key for key, (_, principal) in self._tickets.items() if principal.session_id == session_id]:
            del self._tickets[key]

    def _drop_expired(self) -> None:
        now = time.monotonic()
        while self._tickets and next(iter(self._tickets.values()))[0] < now:
            self._tickets.popitem(last=False)
