"""Stored events of the server, loaded page by page, newest first, and continued by the events of the stream."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from time import monotonic

from novacron_core.api.base import Page
from novacron_core.api.events import Event
from novacron_core.api.stored_events import EventQuery, StoredEvent
from novacron_core.errors import MethodNotAllowed, NotFound, NovaCronError
from novacron_tui.connection.store import Store

PAGE = 100
_RETRY_S = 5.0
Read = Callable[[EventQuery], Awaitable[Page[StoredEvent]]]


class EventLog:
    """The events that match `q`, as far as they are loaded. `live` adds those of the stream, which are not filtered.

    `floor` is the number of the oldest loaded event, None before anything is loaded; `complete`: there are no older
    ones. `problem` says why the last page could not be loaded.
    """

    def __init__(self, store: Store, read: Read, q: str) -> None:
        self.q = q
        self.floor: StoredEvent | None = None
        self.complete = False
        self.loading = False
        self.problem = ""
        self.version = 0
        self._store = store
        self._read = read
        self._events: dict[int, StoredEvent] = {}
        self._covered_to: int | None = None
        self._retry_at = 0.0

    @property
    def loaded(self) -> bool:
        """Whether anything was loaded."""
        return self._covered_to is not None

    @property
    def stored(self) -> Iterator[StoredEvent]:
        """The loaded events, in no particular order."""
        return iter(self._events.values())

    @property
    def live(self) -> Iterator[Event]:
        """The events of the stream that are not loaded, unfiltered. One without a number of its own, of the time when
        the server's database was down, is left out when it has come again with one."""
        events = self._store.events
        numbered = {(e.type, e.target.id, e.source): e.seq for e in events if not e.unlogged}
        for event in events:
            if event.unlogged:
                if numbered.get((event.type, event.target.id, event.source), 0) <= event.seq:
                    yield event
            elif event.seq not in self._events:
                yield event

    @property
    def has_gap(self) -> bool:
        """Whether events between the loaded ones and those of the stream are missing, so that the newest must be
        loaded."""
        return self._covered_to is None or self._store.events_after > self._covered_to

    @property
    def may_load(self) -> bool:
        """Whether a load may begin now: none is running, and the last one has not failed just now."""
        return not self.loading and monotonic() >= self._retry_at

    async def load(self) -> None:
        """Load the newest page if there is a gap, else the next older one. Keeps why it failed in `problem`."""
        if not self.loading and (self.has_gap or not self.complete):
            self.loading = True
            self.version += 1
            try:
                await self._load()
            except (NotFound, MethodNotAllowed):
                self.complete, self._covered_to = True, self._covered_to or 0
                self.problem = "this server lists no stored events; it is of an older version"
            except NovaCronError as e:
                self.problem, self._retry_at = e.detail, monotonic() + _RETRY_S
            finally:
                self.loading = False
                self.version += 1

    def retry(self) -> None:
        """Try again at once."""
        self._retry_at = 0.0

    async def _load(self) -> None:
        newest = self.has_gap
        # What the stream has told is committed: the page holds it, if it matches.
        covered_to = self._store.seq
        before = None if newest or self.floor is None else self.floor.seq
        page = await self._read(EventQuery(q=self.q, before=before, page_size=PAGE))
        if newest:
            self._events = {}
            self._covered_to = max([covered_to, *(event.seq for event in page.items[:1])])
        self._events.update({event.seq: event for event in page.items})
        self.floor = page.items[-1] if page.items else self.floor
        self.complete = len(page.items) < PAGE
        self.problem = ""
