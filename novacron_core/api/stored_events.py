"""Lists of stored events: what the event stream has sent in the last 30 days."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from novacron_core.api.base import Page, Request, Time, Value
from novacron_core.api.endpoint import endpoint
from novacron_core.api.events import Priority
from novacron_core.api.operations import Operation, Target
from novacron_core.values.roles import Permission as P


class StoredEvent(Value, frozen=True):
    """An event as it was stored, without the value of its target. The fields are those of Event.

    `operation` is the operation as it was then, for an event about one; None if it cannot be read.
    """

    seq: int
    id: str
    type: str
    source: str
    target: Target
    time: Time
    tenant: str | None = None
    priority: Priority = Priority.NORMAL
    note: str = ""
    before: str | None = None
    after: str | None = None
    reason: str = ""
    actor: str = ""
    operation: Operation | None = None


class EventQuery(Request, frozen=True, rename={"from_": "from"}):
    """`q` is filter text (`rules.filters.events`); `from` is included, `to` is not. `before` continues a list in spite
    of new events: it lists only events with a lower number."""

    q: Annotated[str, Meta(max_length=500)] = ""
    from_: Time | None = None
    to: Time | None = None
    before: Annotated[int, Meta(ge=1, le=2**63 - 1)] | None = None
    page: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    page_size: Annotated[int, Meta(ge=1, le=1000)] = 50


LIST = endpoint(
    "GET /api/events",
    Page[StoredEvent],
    P.EVENT_READ,
    query=EventQuery,
    summary="List the events of the last 30 days, newest first",
)
