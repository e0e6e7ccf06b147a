"""The filter fields of an event or operation in the activity: the console reads them from rows, the server with SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, tzinfo
from typing import Protocol

from novacron_core.rules.filters.language import FilterField, replace_values
from novacron_core.values.ages import parse_moment

HELP = "plain words, since:22:00, age<8h, by:ada, host:kvm-a, state:failed, target:web-*, -not."
"""The fields in one line, for an operator."""
NOTABLE = "notable"
"""The mark of an event that is worth a line (`event_words.is_notable`)."""
PART = "part"
"""The mark of an operation that belongs to a bulk, which stands for it."""


class Happening(Protocol):
    """What the fields read. `state` is the state after it, `detail` the reason; `hosts` are ids and names, `ids` those of
    the event's target, the operation and what that is about; `marks` are NOTABLE and PART."""

    @property
    def at(self) -> datetime: ...
    @property
    def type(self) -> str: ...
    @property
    def what(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def actor(self) -> str: ...
    @property
    def detail(self) -> str: ...
    @property
    def hosts(self) -> Iterable[str]: ...
    @property
    def ids(self) -> Iterable[str]: ...
    @property
    def marks(self) -> Iterable[str]: ...


def event_fields(now: Callable[[], datetime], zone: tzinfo | None = UTC) -> dict[str, FilterField[Happening]]:
    """The filter fields. Plain words are searched in each text of a row. `now` is the server's time; a `since:22:00` is
    meant in `zone` (None: that of this machine)."""

    def since(text: str) -> float:
        return parse_moment(text, now(), zone).timestamp()

    return {
        "name": FilterField(lambda e: (e.target, e.what, e.actor, e.state, e.detail, e.type), "texts"),
        "since": FilterField(lambda e: e.at.timestamp(), "since", since),
        "age": FilterField(lambda e: (now() - e.at).total_seconds(), "age"),
        "by": FilterField(lambda e: e.actor),
        "host": FilterField(lambda e: e.hosts, "texts"),
        "state": FilterField(lambda e: e.state),
        "target": FilterField(lambda e: e.target),
        "what": FilterField(lambda e: e.what),
        "type": FilterField(lambda e: e.type),
        "id": FilterField(lambda e: e.ids, "texts"),
        "is": FilterField(lambda e: e.marks, "texts"),
    }


def with_moments(text: str, now: datetime, zone: tzinfo | None = None) -> str:
    """A filter whose times mean the same everywhere: `since:22:00` is another time to a server in another zone.

    Raises FilterError.
    """

    def moment(value: str) -> str:
        return f"{parse_moment(value, now, zone).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"

    return replace_values(text, "since", moment)
