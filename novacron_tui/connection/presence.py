"""Notes when a user was last in a console of this profile, and tells at the beginning what happened since then."""

from __future__ import annotations

import asyncio

from novacron_core.api import stored_events
from novacron_core.api.base import Page
from novacron_core.api.stored_events import EventQuery, StoredEvent
from novacron_core.errors import NovaCronError
from novacron_tui.connection.session import Session
from novacron_tui.connection.since_left import since_left
from novacron_tui.connection.store import ConnectionState
from novacron_tui.servers.last_here import LastHere
from novacron_tui.servers.saved_session import SavedSessionFile

_EVERY_S = 60.0


class Presence:
    """One per session of a profile; `kept` is where its saved session is."""

    def __init__(self, session: Session, kept: SavedSessionFile) -> None:
        self._session = session
        self._file = LastHere(kept)

    async def begin(self) -> tuple[str, str] | None:
        """The line that tells what happened, and its tone. None the first time, after a short absence, and when the
        server cannot tell. Waits until the server's clock is known."""
        session = self._session
        await self._until_loaded()
        session.last_here = await asyncio.to_thread(self._file.read, session.user.id)
        if session.last_here is None:
            return None
        try:
            return await since_left(self._read, session.last_here, session.now)
        except NovaCronError:
            return None  # what is wrong with the server is said elsewhere

    async def keep(self) -> None:
        """Note every minute that the user is here, until cancelled."""
        while True:
            await asyncio.to_thread(self.note)
            await asyncio.sleep(_EVERY_S)

    def note(self) -> None:
        """Note that the user is here now, unless what happens now does not get here. Blocking, some milliseconds."""
        store = self._session.store
        if store.loaded and store.connection is not ConnectionState.OFFLINE:
            self._file.write(self._session.user.id, self._session.now)

    async def _until_loaded(self) -> None:
        loaded = asyncio.Event()

        def check() -> None:
            if self._session.store.loaded:
                loaded.set()

        unwatch = self._session.watch(check)
        try:
            check()
            await loaded.wait()
        finally:
            unwatch()

    async def _read(self, query: EventQuery) -> Page[StoredEvent]:
        return await self._session.client.call(stored_events.LIST, query=query)
