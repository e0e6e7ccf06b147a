"""Credentials that share the saved session of a profile with all consoles and scripts of this user.

A refresh token is valid once. So a process that needs a new pair holds the profile's lock while it reads the newest
token, exchanges it and saves the next one. Otherwise two consoles could use the same token, and the server would end
the session because of token theft.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from novacron_core import errors
from novacron_core.api.access import Tokens
from novacron_core.client.credentials import Credentials, Exchange
from novacron_tui.servers.saved_session import SavedSession, SavedSessionFile


class SharedCredentials(Credentials):
    """Credentials that share the saved session. Without a saved session, and until `keep` is called, they are
    private. `unread` is why the saved session could not be read, if there may be one."""

    def __init__(self, kept: SavedSessionFile) -> None:
        super().__init__()
        self.kept = kept
        self.user_id = self.username = ""
        self._spent = ""
        """The saved token that was exchanged last: while it is still the saved one, the next one could not be saved."""
        self.unread: errors.NovaCronError | None = None
        try:
            session = kept.read()
        except errors.Conflict as e:
            session, self.unread = None, e
        if session:
            self._join(session)

    def _join(self, session: SavedSession) -> None:
        self.user_id, self.username = session.user_id, session.username
        self.refresh_token, self.shared = session.refresh_token, True

    async def keep(self, tokens: Tokens) -> None:
        """Save these tokens of a new sign-in as the session of the profile."""
        self.user_id, self.username = tokens.user.id, tokens.user.username
        async with self.kept.locked():
            await asyncio.to_thread(self.kept.write, self._session())
        self.shared = True

    async def renew(self, exchange: Exchange) -> None:
        """Exchange the newest token of this profile. Raises Unauthenticated when the session has ended, and Conflict
        when the saved session is locked, or cannot be read or written."""
        if not self.shared:
            await super().renew(exchange)
            return
        try:
            await self._renew_saved(exchange)
        except OSError as e:
            raise errors.Conflict(f"the saved session cannot be renewed: {self.kept.folder}: {e.strerror or e}") from e

    async def _renew_saved(self, exchange: Exchange) -> None:
        async with self.kept.locked():
            # Once the server has answered, the new token must be saved, even when this task is cancelled.
            exchange_task = asyncio.ensure_future(self._exchange(exchange))
            try:
                await asyncio.shield(exchange_task)
            except asyncio.CancelledError:
                await asyncio.gather(exchange_task, return_exceptions=True)
                raise

    async def _exchange(self, exchange: Exchange) -> None:
        session = await asyncio.to_thread(self.kept.read)
        if session is None:
            self.shared, self.refresh_token = False, ""
            raise errors.Unauthenticated("Signed out meanwhile: sign in again")
        if session.user_id != self.user_id:
            # Another user signed in under this profile: continue with a private session.
            self.shared = False
            await super().renew(exchange)
            return
        newest = self.refresh_token if session.refresh_token == self._spent else session.refresh_token
        try:
            self.take(await exchange(newest))
        except errors.Unauthenticated:
            with suppress(OSError):  # the session has ended, whether or not its file can be deleted
                await asyncio.to_thread(self.kept.forget)
            raise
        self._spent = session.refresh_token
        await asyncio.to_thread(self.kept.write, self._session())

    async def end(self) -> None:
        """Delete the saved session, for this and every other console of this profile."""
        async with self.kept.locked():
            await asyncio.to_thread(self.kept.forget)
        self.drop()

    def drop(self) -> None:
        super().drop()
        self.shared = False

    def _session(self) -> SavedSession:
        return SavedSession(self.kept.server, self.user_id, self.username, self.refresh_token)
