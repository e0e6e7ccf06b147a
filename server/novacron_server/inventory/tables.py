"""One table per noun, with the current values that readers see."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, Protocol

import msgspec

from novacron_core.api.nouns import Noun
from novacron_core.rules.visibility import Principal
from novacron_core.values.roles import Role
from novacron_server.outbox.records import EventRecord

Visible = tuple[str | None, Any]
"""(tenant that determines who may see it, value)."""


class NounTable(Protocol):
    """The methods of a noun's table that the event stream needs."""

    def all(self) -> Iterable[Visible]:
        """Every object, in no particular order."""

    def value(self, record: EventRecord) -> Visible:
        """The complete new value of an event's target, None when it is gone."""

    limited: bool
    """Whether readers who are not administrators get other values."""

    def member_view(self, reader: Principal) -> Callable[[Any], Any]:
        """The function that makes a value that of a reader who is no administrator: without what it tells of other tenants
        and of the host. Called when `limited`, with values that are not None. For the values of one moment: it counts
        what the reader sees once."""

    def fold(self, record: EventRecord) -> None:
        """Apply the row change that an event carries, if any."""


def shown_to(principal: Principal, table: NounTable) -> Callable[[Any], Any]:
    """The function that makes a value of the table what this principal may read of it, at this moment."""
    if principal.role is Role.ADMINISTRATOR or not table.limited:
        return lambda value: value
    view = table.member_view(principal)
    return lambda value: None if value is None else view(value)


class RowTable:
    """The table of a noun whose row is its wire value, so that the events with its rows are enough."""

    limited = False

    def __init__(self, noun: Noun[Any]) -> None:
        self._noun = noun
        self._values: dict[Hashable, Visible] = {}

    def load(self, values: Iterable[Visible]) -> None:
        """Start from the rows of the database."""
        self._values = {self._noun.key(value): (tenant, value) for tenant, value in values}

    def all(self) -> Iterable[Visible]:
        return self._values.values()

    def value(self, record: EventRecord) -> Visible:
        key = self._noun.key_of(record.source, record.target.id)
        return self._values.get(key, (record.tenant, None))

    def member_view(self, reader: Principal) -> Callable[[Any], Any]:
        return _same

    def fold(self, record: EventRecord) -> None:
        """Raises msgspec.ValidationError for a row that is not a value of the noun."""
        key = self._noun.key_of(record.source, record.target.id)
        if record.gone:
            self._values.pop(key, None)
        elif record.row is not None:
            self._values[key] = (record.tenant, msgspec.convert(record.row, self._noun.struct))


def _same(value: Any) -> Any:
    return value
