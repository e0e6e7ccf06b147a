"""One table per noun: what readers see of it now. The registry's nouns get theirs here; any other noun is kept by row."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any, Protocol

import msgspec

from novacron_core.api.nouns import Noun
from novacron_server.outbox.records import EventRecord

Visible = tuple[str | None, Any]
"""(tenant that determines who may see it, value)."""


class NounTable(Protocol):
    """What the event stream needs of a noun."""

    def all(self) -> Iterable[Visible]:
        """Every object, in no particular order."""

    def value(self, record: EventRecord) -> Visible:
        """The complete new value of an event's target, None when it is gone."""

    def fold(self, record: EventRecord) -> None:
        """Apply the row change that an event carries, if any."""


class RowTable:
    """A noun whose row is its wire value: the event that carries the row is all that is needed."""

    def __init__(self, noun: Noun[Any]) -> None:
        self._noun = noun
        self._things: dict[Hashable, Visible] = {}

    def load(self, things: Iterable[Visible]) -> None:
        """Start from the rows of the database."""
        self._things = {self._noun.key(thing): (tenant, thing) for tenant, thing in things}

    def all(self) -> Iterable[Visible]:
        return self._things.values()

    def value(self, record: EventRecord) -> Visible:
        key = self._noun.key_of(record.source, record.target.id)
        return self._things.get(key, (record.tenant, None))

    def fold(self, record: EventRecord) -> None:
        """Raises msgspec.ValidationError for a row that is not a value of the noun."""
        key = self._noun.key_of(record.source, record.target.id)
        if record.gone:
            self._things.pop(key, None)
        elif record.row is not None:
            self._things[key] = (record.tenant, msgspec.convert(record.row, self._noun.struct))
