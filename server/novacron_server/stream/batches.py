"""Outgoing events, encoded once for all listeners."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from functools import cached_property

from novacron_core.api import events as api
from novacron_core.api.nouns import Nouns
from novacron_core.rules.visibility import Principal, may, may_see
from novacron_core.values.roles import Permission, Role
from novacron_server.http.websocket.protocol import framed

PART_BYTES = 64 * 1024
"""How much is written to a connection at a time: before each part it is checked for backpressure."""

_OTHER_FAMILIES = {"access": Permission.PEOPLE_READ, "system": Permission.EVENT_READ}
"""The permission for families of events that are not about a noun. Unknown families are for administrators only. Those
about access reach the owners of the tenant that they name; without a tenant, as warnings are, administrators alone."""


@dataclass(frozen=True, slots=True)
class OutgoingEvent:
    """An encoded event, with the tenant and the permission that determine who may receive it. `member_data` is what
    readers who are not administrators get; None if it is the same.

    `left` is the tenant that the target has just left, and `left_data` what its readers get: for them it is gone.
    """

    seq: int
    event: api.Event
    tenant: str | None
    permission: Permission
    data: bytes
    member_data: bytes | None = None
    left: str | None = None
    left_data: bytes | None = None


@dataclass(frozen=True, slots=True)
class BatchPart:
    """Events that are sent together."""

    events: list[OutgoingEvent]
    frames: bytes


class Batch:
    """Events that arrived together, in order. What readers may see is computed once per audience."""

    def __init__(self, events: list[OutgoingEvent]) -> None:
        self.events = events
        self._visible: dict[Hashable, Batch] = {}

    def visible_to(self, principal: Principal) -> Batch:
        """The events that this principal may see."""
        key = principal.audience
        if key not in self._visible:
            self._visible[key] = Batch([_for(principal, event) for event in self.events if visible(principal, event)])
        return self._visible[key]

    @cached_property
    def parts(self) -> list[BatchPart]:
        """The frames, joined into parts of at most PART_BYTES or one frame."""
        parts: list[BatchPart] = []
        events: list[OutgoingEvent] = []
        size = 0
        for event in self.events:
            if events and size + len(event.data) > PART_BYTES:
                parts.append(_part(events))
                events, size = [], 0
            events.append(event)
            size += len(event.data)
        return [*parts, _part(events)] if events else parts


def _for(principal: Principal, event: OutgoingEvent) -> OutgoingEvent:
    if event.left_data is not None and not may_see(principal, event.tenant):
        return replace(event, data=event.left_data, member_data=None)
    if event.member_data is None or principal.role is Role.ADMINISTRATOR:
        return event
    return replace(event, data=event.member_data, member_data=None)


def _part(events: list[OutgoingEvent]) -> BatchPart:
    return BatchPart(events, b"".join(framed(event.data) for event in events))


def visible(principal: Principal, outgoing: OutgoingEvent) -> bool:
    """Whether the principal may receive this event: by tenant, and by the permission for its event family."""
    seen = may_see(principal, outgoing.tenant) or (outgoing.left is not None and may_see(principal, outgoing.left))
    return seen and may(principal, outgoing.permission)


def permission_of(nouns: Nouns, event_type: str) -> Permission:
    """The permission to receive an event of this type: that of its noun, or of its family."""
    family = event_type.split(".", 1)[0]
    noun = nouns.of_type(family)
    return noun.permission if noun else _OTHER_FAMILIES.get(family, Permission.ACCESS_ADMIN)


def families(nouns: Nouns) -> dict[str, Permission]:
    """The known families of events with the permission to receive them."""
    return {**{noun.type: noun.permission for noun in nouns}, **_OTHER_FAMILIES}


def matches(filters: api.Filters, event: api.Event) -> bool:
    """Whether an event matches all of a subscription's filters; an empty filter matches every event."""
    return (
        (not filters.types or any(_matches(pattern, event.type) for pattern in filters.types))
        and (not filters.sources or event.source in filters.sources)
        and (not filters.targets or event.target.id in filters.targets)
        and (not filters.priorities or event.priority in filters.priorities)
    )


def _matches(pattern: str, kind: str) -> bool:
    return kind.startswith(pattern[:-1]) if pattern.endswith("*") else kind == pattern
