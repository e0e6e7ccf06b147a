"""Counts attempts to guess a password or a one-time code, before they are judged. See `backoff` for the delays."""

from __future__ import annotations

from dataclasses import dataclass

from novacron_core.errors import RateLimited
from novacron_server.access import backoff, repository
from novacron_server.database.transactions import Connection
from novacron_server.http.limits import Counts, network_of

_INVITATIONS = "invitations of this installation"
"""In place of an account: no user name has spaces. A sign-in that uses it as one is slowed like any other."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that was counted and may be judged. `known`: the account has signed in from this network before."""

    account: str
    network: str
    known: bool


class Attempts:
    """One per server. `per_minute` attempts are judged for a network, not counting accounts that have signed in from
    there before."""

    def __init__(self, per_minute: int = 60) -> None:
        self._per_minute = per_minute
        self._strangers = Counts()

    async def claim(self, conn: Connection, username: str, address: str) -> Attempt:
        """Count an attempt on an account, whether it exists or not. Raises RateLimited with the delay."""
        account, network = backoff.account_of(username), network_of(address)
        known = network in {network_of(found) for found in await repository.sign_in_addresses(conn, account)}
        self._admit(network, known=known)
        wait_s = await repository.claim_attempt(conn, account, network, known=known)
        if wait_s:
            raise RateLimited("too many wrong passwords", retry_after_s=wait_s)
        return Attempt(account, network, known)

    async def claim_code(self, conn: Connection, address: str) -> Attempt:
        """Count an attempt with an invitation, which names no account. Raises RateLimited with the delay.

        Only the network is counted: with a delay for all networks, strangers could keep everybody from joining.
        """
        network = network_of(address)
        wait_s = await repository.claim_attempt(conn, _INVITATIONS, network, known=True)
        if wait_s:
            raise RateLimited("too many wrong codes", retry_after_s=wait_s)
        return Attempt(_INVITATIONS, network, known=True)

    async def succeed(self, conn: Connection, attempt: Attempt) -> None:
        """Forget the attempt and the failed ones before it: it was right."""
        await repository.clear_failures(conn, attempt.account, attempt.network, known=attempt.known)

    def _admit(self, network: str, *, known: bool) -> None:
        """Refuse a flood before anything is compared. Raises RateLimited."""
        if known:
            return
        budget = self._strangers.take("sign-in", network, self._per_minute)
        if budget.refused:
            seconds = budget.retry_after_s
            raise RateLimited(f"too many sign-ins; try again in {seconds:.0f} s", retry_after_s=seconds)
