"""Credentials that share the kept session of a profile with every other console and script of this user.

A refresh token is good once. So whoever needs a new pair holds the profile's lock while it reads the newest token,
trades it and writes the next; else two consoles would spend one token, and the server would end the session for theft.
"""

from __future__ import annotations

import asyncio

from novacron_core import errors
from novacron_core.api.access import Tokens
from novacron_core.client.credentials import Credentials, Exchange
from novacron_tui.servers.saved_session import SavedSession, SavedSessionFile


class SharedCredentials(Credentials):
    """Credentials that share the kept session. Until `keep` is called, or where nothing is kept, they are one's own."""

    def __init__(self, kept: SavedSessionFile) -> None:
        super().__init__()
        self.kept = kept
        self.user_id = self.username = ""
        if session := kept.read():
            self._join(session)

    def _join(self, session: SavedSession) -> None:
        self.user_id, self.username = session.user_id, session.username
        self.refresh_token, self.shared = session.refresh_token, True

    async def keep(self, tokens: Tokens) -> None:
        """These tokens, just bought with a password, are this profile's session from now on."""
        self.user_id, self.username = tokens.user.id, tokens.user.username
        async with self.kept.locked():
            await asyncio.to_thread(self.kept.write, self._session())
        self.shared = True

    async def renew(self, exchange: Exchange) -> None:
        """Trade the newest token that anybody of this profile has. Raises Unauthenticated when the session ended."""
        if not self.shared:
            await super().renew(exchange)
            return
        async with self.kept.locked():
            # Once the server has answered, the new token must be kept, even when we are told to stop.
            trade = asyncio.ensure_future(self._exchange(exchange))
            try:
                await asyncio.shield(trade)
            except asyncio.CancelledError:
                await asyncio.gather(trade, return_exceptions=True)
                raise

    async def _exchange(self, exchange: Exchange) -> None:
        session = await asyncio.to_thread(self.kept.read)
        if session is None:
            self.shared, self.refresh_token = False, ""
            raise errors.Unauthenticated("signed out meanwhile: sign in again")
        if session.user_id != self.user_id:
            # Somebody else signed in under this profile: our session goes on, as our own.
            self.shared = False
            await super().renew(exchange)
            return
        try:
            self.take(await exchange(session.refresh_token))
        except errors.Unauthenticated:
            self.kept.forget()
            raise
        await asyncio.to_thread(self.kept.write, self._session())

    async def end(self) -> None:
        """Forget what is kept, here and for every other console of this profile."""
        async with self.kept.locked():
            self.kept.forget()
        self.drop()

    def drop(self) -> None:
        super().drop()
        self.shared = False

    def _session(self) -> SavedSession:
        return SavedSession(self.kept.server, self.user_id, self.username, self.refresh_token)
