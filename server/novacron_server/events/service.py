"""Lists stored events, for authorized readers: each sees what the event stream has shown to such a reader."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from weakref import WeakValueDictionary

from novacron_core import errors
from novacron_core.api.base import Page
from novacron_core.api.problem import FieldError
from novacron_core.api.stored_events import EventQuery, StoredEvent
from novacron_core.rules.filters.events import event_fields
from novacron_core.rules.filters.language import FilterError, Term, parse_filter
from novacron_core.rules.visibility import SHARED, Principal
from novacron_core.values.roles import Role, allows
from novacron_server.database.transactions import Connection, Database
from novacron_server.events import repository
from novacron_server.inventory.state import InventoryState
from novacron_server.stream.batches import families

_SEARCH_S = 8.0
"""What a search may take: words that match nothing are compared with all events."""
_AT_ONCE = 2
"""Lists that the database searches at the same time: a filter may make it read all events of 30 days."""


class Events:
    """Queries the outbox, in which events are kept for 30 days."""

    def __init__(
        self, database: Database, state: InventoryState, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._database = database
        self._state = state
        self._now = now
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def page(self, principal: Principal, query: EventQuery) -> Page[StoredEvent]:
        """One page, newest first. Raises ValidationFailed naming the parameter, DatabaseUnavailable."""
        now = self._now()
        if query.from_ is not None and query.to is not None and query.from_ > query.to:
            raise _invalid("from", "must not be later than to")
        chosen = repository.Selection(
            terms=_terms(query.q, now),
            now=now,
            hosts={view.id: view.name for view in self._state.views.values()},
            tenants=None if principal.role is Role.ADMINISTRATOR else (SHARED, principal.tenant),
            families=self._families(principal),
            from_=query.from_,
            to=query.to,
            before=query.before,
        )

        async def work(connection: Connection) -> tuple[list[StoredEvent], int]:
            return await repository.page(connection, chosen, (query.page - 1) * query.page_size, query.page_size)

        turn = self._turns.setdefault(principal.user_id, asyncio.Lock())
        async with turn, self._slots:  # one user's searches wait for each other, not everybody for them
            items, total = await self._database.run(work, read_only=True, timeout_s=_SEARCH_S if query.q else None)
        return Page(items=items, total=total, page=query.page, page_size=query.page_size)

    def _families(self, principal: Principal) -> list[str] | None:
        """The families of event types that the principal may see, None for all."""
        if principal.role is Role.ADMINISTRATOR:
            return None
        return [name for name, permission in families(self._state.nouns).items() if allows(principal.role, permission)]


def _terms(q: str, now: datetime) -> list[Term]:
    try:
        return parse_filter(q, event_fields(lambda: now))
    except FilterError as e:
        raise _invalid("q", str(e)) from e


def _invalid(field: str, message: str) -> errors.ValidationFailed:
    return errors.ValidationFailed(f"{field}: {message}", fields=[FieldError(field=field, message=message)])
