"""The arrangement of the console while it is open: what is changed is written a moment later, and at leaving."""

from __future__ import annotations

import asyncio

import msgspec

from novacron_tui.servers.arrangement import Arrangement, ArrangementFile, ListLook
from novacron_tui.servers.saved_session import SavedSessionFile

WRITE_AFTER_S = 1.0
"""A key that is held sorts many times a second."""


class Arranged:
    """One per session. Without `kept`, as for a server that is only a URL, nothing outlives the console."""

    def __init__(self, kept: SavedSessionFile | None, user_id: str) -> None:
        self._file = ArrangementFile(kept) if kept is not None else None
        self._user_id = user_id
        self.now = self._file.read(user_id) if self._file is not None else Arrangement()
        self._written = self.now
        self._changed = asyncio.Event()

    def note_list(self, name: str, look: ListLook) -> None:
        """A list has this order and filter now."""
        self._note(msgspec.structs.replace(self.now, lists={**self.now.lists, name: look}))

    def note_theme(self, theme: str) -> None:
        """This theme was chosen."""
        self._note(msgspec.structs.replace(self.now, theme=theme))

    def _note(self, arrangement: Arrangement) -> None:
        if arrangement != self.now:
            self.now = arrangement
            self._changed.set()

    async def keep(self) -> None:
        """Write what has changed, until cancelled."""
        while True:
            await self._changed.wait()
            await asyncio.sleep(WRITE_AFTER_S)
            self._changed.clear()
            await asyncio.to_thread(self.write)

    def write(self) -> None:
        """Write it if it has changed. Blocking, some milliseconds."""
        now = self.now
        if self._file is not None and now != self._written:
            self._file.write(self._user_id, now)
            self._written = now
