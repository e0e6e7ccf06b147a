"""Lists stored events, for authorized readers: each sees what the event stream has shown to such a reader."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from novacron_core import errors
from novacron_core.api.base import Page
from novacron_core.api.problem import FieldError
from novacron_core.api.stored_events import EventQuery, StoredEvent
from novacron_core.rules.filters.events import event_fields
from novacron_core.rules.filters.language import FilterError, Term, parse_filter
from novacron_core.rules.visibility import SHARED, Principal, may, readable_operation
from novacron_core.values.roles import Role
from novacron_server.database.faults import StatementTooSlow
from novacron_server.database.transactions import Connection, Database
from novacron_server.database.turns import Turns
from novacron_server.events import repository
from novacron_server.events.repository import Selection
from novacron_server.inventory.state import InventoryState
from novacron_server.inventory.subjects import host_names, seen_ids
from novacron_server.stream.batches import families, without_host_paths

QUICK_S = 1.0
"""What nearly every list takes less than. A search that takes longer is ended, and begins again among the slow ones."""
SLOW_S = 8.0
"""What a slow search may take: words that match nothing are compared with all events of 30 days."""
WAIT_S = 4.0
"""How long a slow search waits for another one. With the search itself, less than clients wait for an answer."""
_NARROWER = "add since:2h or another recent time, so that fewer events are searched"
_QUICK_AT_ONCE, _SLOW_AT_ONCE = 4, 2


class Events:
    """Queries the outbox, in which events are kept for 30 days. Every user has at most one quick list and one slow search
    in the database at a time, no tenant takes all places, and slow searches never take those of quick ones."""

    def __init__(
        self, database: Database, state: InventoryState, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._database = database
        self._state = state
        self._now = now
        self._quick = Turns(_QUICK_AT_ONCE, within=database.long_reads)
        self._slow = Turns(_SLOW_AT_ONCE, within=database.long_reads)

    async def page(self, principal: Principal, query: EventQuery) -> Page[StoredEvent]:
        """One page, newest first. Raises ValidationFailed naming the parameter, FilterTooSlow, RateLimited while other slow
        searches run, DatabaseUnavailable."""
        now = self._now()
        if query.from_ is not None and query.to is not None and query.from_ > query.to:
            raise _invalid("from", "must not be later than to")
        chosen = Selection(
            terms=_terms(query.q, now),
            now=now,
            hosts=host_names(principal, self._state),
            tenants=None if principal.role is Role.ADMINISTRATOR else (SHARED, principal.tenant),
            families=self._families(principal),
            from_=query.from_,
            to=query.to,
            before=query.before,
            targets=seen_ids(principal, self._state),
            api_token=principal.limited_token,
        )

        items, total = await self._search(principal, chosen, query)
        if principal.role is not Role.ADMINISTRATOR:
            items = [_readable(principal, without_host_paths(item)) for item in items]
        return Page(items=items, total=total, page=query.page, page_size=query.page_size)

    async def _search(
        self, principal: Principal, chosen: Selection, query: EventQuery
    ) -> tuple[list[StoredEvent], int]:
        quick_s = min(QUICK_S, self._database.budget_s / 2)
        try:
            async with self._quick.of(principal):
                return await self._list(chosen, query, quick_s)
        except StatementTooSlow:
            pass
        async with self._slow.of(principal, WAIT_S, f"other slow searches are running: wait, or {_NARROWER}"):
            try:
                return await self._list(chosen, query, SLOW_S)
            except StatementTooSlow as e:
                raise errors.FilterTooSlow(f"the filter takes longer than {SLOW_S:g} s: {_NARROWER}") from e

    async def _list(self, chosen: Selection, query: EventQuery, within_s: float) -> tuple[list[StoredEvent], int]:
        """Raises StatementTooSlow."""

        async def work(connection: Connection) -> tuple[list[StoredEvent], int]:
            offset = (query.page - 1) * query.page_size
            return await repository.page(connection, chosen, offset, query.page_size, within_s=within_s)

        # The rest is for the connection, so that it is the database that ends a search, and not this server's patience.
        return await self._database.run(work, read_only=True, timeout_s=within_s + self._database.budget_s / 2)

    def _families(self, principal: Principal) -> list[str] | None:
        """The families of event types that the principal may see, None for all."""
        if principal.role is Role.ADMINISTRATOR and principal.scope is None:
            return None
        return [name for name, permission in families(self._state.nouns).items() if may(principal, permission)]


def _readable(principal: Principal, event: StoredEvent) -> StoredEvent:
    if event.operation is None:
        return event
    return msgspec.structs.replace(event, operation=readable_operation(principal, event.operation))


def _terms(q: str, now: datetime) -> list[Term]:
    try:
        return parse_filter(q, event_fields(lambda: now))
    except FilterError as e:
        raise _invalid("q", str(e)) from e


def _invalid(field: str, message: str) -> errors.ValidationFailed:
    return errors.ValidationFailed(f"{field}: {message}", fields=[FieldError(field=field, message=message)])
