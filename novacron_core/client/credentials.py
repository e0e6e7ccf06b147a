"""The credentials of a session: an access token, and the refresh token that is exchanged for the next pair."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from novacron_core import errors
from novacron_core.api.access import Tokens, User
from novacron_core.values.tokens import why_not_token

Exchange = Callable[[str], Awaitable[Tokens]]
"""Exchanges a refresh token for a new pair on the server."""


class Credentials:
    """The tokens of one session. `on_change` is called with every new pair, so that it can be stored.

    `shared`: other processes use the same session, so signing out on exit would end it for them too.
    """

    shared = False

    def __init__(
        self, token: str = "", *, refresh_token: str = "", on_change: Callable[[Tokens], None] | None = None
    ) -> None:
        self.token = token
        self.refresh_token = refresh_token
        self._on_change = on_change
        self._watchers: list[Callable[[User], None]] = []
        self.user: User | None = None
        """The account of the last pair of tokens: its role and tenant may have changed since the one before."""
        self._stale_at = float("inf")

    def take(self, tokens: Tokens) -> None:
        """Use this pair from now on. Tokens without a refresh token leave the one that there is."""
        self.token = tokens.token
        self.refresh_token = tokens.refresh_token or self.refresh_token
        self._stale_at = time.monotonic() + tokens.expires_in * 0.8
        self.user = tokens.user
        if self._on_change:
            self._on_change(tokens)
        for watcher in self._watchers:
            watcher(tokens.user)

    def watch(self, watcher: Callable[[User], None]) -> None:
        """Call `watcher` with the account of every new pair of tokens."""
        self._watchers.append(watcher)

    @property
    def authorization(self) -> str:
        """The value of the Authorization header. Raises InvalidSetting for a token that no header can carry."""
        if refused := why_not_token(self.token):
            raise errors.InvalidSetting(refused)
        return f"Bearer {self.token}"

    async def renew(self, exchange: Exchange) -> None:
        """Exchange the refresh token for a new pair. Raises Unauthenticated when there is none or it is no longer
        valid."""
        if not self.refresh_token:
            raise errors.Unauthenticated("your session has ended: sign in again")
        self.take(await exchange(self.refresh_token))

    def drop(self) -> None:
        """Forget both tokens (signed out)."""
        self.token = self.refresh_token = ""

    @property
    def stale(self) -> bool:
        """Whether the access token is missing or about to expire, and a refresh token could replace it."""
        return bool(self.refresh_token) and (not self.token or time.monotonic() >= self._stale_at)
