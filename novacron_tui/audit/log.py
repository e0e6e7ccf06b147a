"""The entries of the audit log that match a filter, loaded page by page, newest first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from time import monotonic

from novacron_core.api.audit import AuditEntry, AuditQuery
from novacron_core.api.base import Page
from novacron_core.errors import NovaCronError
from novacron_tui.audit.entries import key_of
from novacron_tui.terminal.safe_text import one_line

PAGE = 100
_RETRY_S = 5.0
_LATE = timedelta(minutes=1)
"""A refusal is written a moment after its time, and may come below entries that are known."""
_MOST_NEW = 20
"""So many pages of new entries are read at once; older ones come when the list is scrolled."""
Read = Callable[[AuditQuery], Awaitable[Page[AuditEntry]]]


class AuditLog:
    """`complete`: there are no older entries. `problem` says why the last page could not be loaded."""

    def __init__(self, read: Read, q: str, now: Callable[[], datetime]) -> None:
        self.q = q
        self.complete = False
        self.loading = False
        self.problem = ""
        self.total = 0
        self.version = 0
        self._read = read
        self._now = now
        self._entries: dict[str, AuditEntry] = {}
        self._until: datetime | None = None
        """The end of the pages, which stays: entries that are added shift none."""
        self._pages = 0
        self._retry_at = 0.0

    @property
    def entries(self) -> list[AuditEntry]:
        """What is loaded, newest first."""
        return sorted(self._entries.values(), key=lambda entry: (entry.time, entry.tenant, entry.seq), reverse=True)

    @property
    def loaded(self) -> bool:
        """Whether anything was read."""
        return self._pages > 0

    @property
    def may_load(self) -> bool:
        """Whether a load may begin now: none is running, and the last one has not failed just now."""
        return not self.loading and monotonic() >= self._retry_at

    def retry(self) -> None:
        """Try again at once."""
        self._retry_at = 0.0

    async def load(self) -> None:
        """Load the next older page. Keeps why it failed in `problem`."""
        if not self.complete:
            await self._guarded(self._load_older)

    async def load_new(self) -> None:
        """Load what was added since."""
        await self._guarded(self._load_new if self.loaded else self._load_older)

    async def _guarded(self, load: Callable[[], Awaitable[None]]) -> None:
        if self.loading:
            return
        self.loading = True
        try:
            await load()
            if self.problem:
                self.problem = ""
                self.version += 1
        except NovaCronError as e:
            self.problem, self._retry_at = one_line(e.detail), monotonic() + _RETRY_S
            self.version += 1
        finally:
            self.loading = False

    async def _load_older(self) -> None:
        until = self._until or self._now() + _LATE
        page = await self._read(AuditQuery(q=self.q, to=until, page=self._pages + 1, page_size=PAGE))
        self._until, self._pages, self.total = until, self._pages + 1, page.total
        self.complete = len(page.items) < PAGE
        self._take(page.items)
        self.version += 1

    async def _load_new(self) -> None:
        newest = max((entry.time for entry in self._entries.values()), default=None)
        after = newest - _LATE if newest else None
        for number in range(1, _MOST_NEW + 1):
            page = await self._read(AuditQuery(q=self.q, from_=after, page=number, page_size=PAGE))
            known = len(self._entries)
            self._take(page.items)
            added = len(self._entries) - known
            self.total += added
            self.version += added > 0
            if len(page.items) < PAGE or not added:
                break

    def _take(self, items: list[AuditEntry]) -> None:
        self._entries |= {key_of(entry): entry for entry in items}
