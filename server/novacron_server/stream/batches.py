"""Outgoing events, encoded once for all listeners."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import msgspec

from novacron_core.api import events as api
from novacron_core.api.nouns import HOSTS, VMS, VOLUMES, Nouns
from novacron_core.api.stored_events import StoredEvent
from novacron_core.rules.filters.vms import Scoped
from novacron_core.rules.host_reasons import public_reason
from novacron_core.rules.visibility import Principal, in_scope, may, may_see
from novacron_core.values.roles import Permission, Role
from novacron_core.values.texts import without_paths
from novacron_server.http.websocket.protocol import framed
from novacron_server.inventory.subjects import NEEDED, left_scope
from novacron_server.inventory.tables import NounTable, shown_to
from novacron_server.stream.shown import ShownStorage

PART_BYTES = 64 * 1024
"""How much is written to a connection at a time: before each part it is checked for backpressure."""

_OTHER_FAMILIES = {"access": Permission.PEOPLE_READ, "system": Permission.EVENT_READ}
"""The permission for families of events that are not about a noun. Unknown families are for administrators only. Those
about access reach the owners of the tenant that they name; without a tenant, as warnings are, administrators alone."""


@dataclass(frozen=True, slots=True)
class OutgoingEvent:
    """An encoded event, with the tenant and the permission that determine who may receive it. `limited` is the table and
    the value of its target, if readers who are no administrators get another one.

    `left` is the tenant that the target has just left, and `left_data` what its readers get: for them it is gone.
    `subject` is the VM that it is about, as it is after the event, `subject_before` as it was before: readers that are
    limited to some VMs get it by these. `api_token` is that of an operation.
    """

    seq: int
    event: api.Event
    tenant: str | None
    permission: Permission
    data: bytes
    limited: tuple[NounTable, Any] | None = None
    left: str | None = None
    left_data: bytes | None = None
    subject: Scoped | None = None
    subject_before: Scoped | None = None
    api_token: str = ""


@dataclass(frozen=True, slots=True)
class BatchPart:
    """Events that are sent together."""

    events: list[OutgoingEvent]
    frames: bytes


class Batch:
    """Events that arrived together, in order. What readers may see is computed once per audience."""

    def __init__(self, events: list[OutgoingEvent], shown: ShownStorage | None = None) -> None:
        """`shown` is what their readers were shown before: without it they get every event."""
        self.events = events
        self._shown = shown
        self._visible: dict[Hashable, Batch] = {}

    def visible_to(self, principal: Principal) -> Batch:
        """The events that this principal may see."""
        key = principal.audience
        if key not in self._visible:
            of_reader = _Reader(principal, self._shown)
            seen = (of_reader.event(event) for event in self.events if visible(principal, event))
            self._visible[key] = Batch([event for event in seen if event is not None])
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


class _Reader:
    """The events of a batch for one audience."""

    def __init__(self, principal: Principal, shown: ShownStorage | None) -> None:
        self._principal = principal
        self._shown = shown
        self._views: dict[int, Callable[[Any], Any]] = {}

    def event(self, event: OutgoingEvent) -> OutgoingEvent | None:
        """A visible event as this audience gets it; None for one that tells it nothing."""
        if event.left_data is not None and not may_see(self._principal, event.tenant):
            return replace(event, data=event.left_data, limited=None)
        if _leaves_scope(self._principal, event):
            data = gone_frame(event.event, event.tenant, "it no longer matches the filter of this API token")
            return replace(event, data=data, limited=None)
        if self._principal.role is Role.ADMINISTRATOR:
            return event
        told = without_host_paths(event.event)
        if event.limited is None:
            return event if told is event.event else replace(event, data=msgspec.json.encode(told))
        table, value = event.limited
        view = self._views.get(id(table))
        if view is None:
            view = self._views[id(table)] = shown_to(self._principal, table)
        readable = view(value)
        if self._shown is not None and not self._shown.is_news(self._principal, event.event, readable):
            return None
        changed = msgspec.structs.replace(told, value=msgspec.Raw(msgspec.json.encode(readable)))
        return replace(event, data=msgspec.json.encode(changed), limited=None)


E = TypeVar("E", api.Event, StoredEvent)


def without_host_paths(event: E) -> E:
    """The event as those read it who are no administrators: where things are on a host is not for them."""
    if not (event.note or event.reason):
        return event
    if event.target.type == HOSTS.type:
        note, reason = public_reason(event.note), public_reason(event.reason)
        return msgspec.structs.replace(event, note=note, reason=reason)
    return msgspec.structs.replace(event, note=without_paths(event.note), reason=without_paths(event.reason))


def _leaves_scope(principal: Principal, event: OutgoingEvent) -> bool:
    """Whether a VM or volume, which is still there, has gone out of the filter of a limited reader."""
    is_thing = event.event.target.type in (VMS.type, VOLUMES.type) and bytes(event.event.value or b"null") != b"null"
    return bool(principal.vm_filter) and is_thing and left_scope(principal, event.subject_before, event.subject)


def gone_frame(event: api.Event, tenant: str | None, note: str) -> bytes:
    """What readers get that no longer see the target of an event: it is gone for them."""
    gone = msgspec.structs.replace(
        event,
        tenant=tenant,
        type=f"{event.target.type}.deleted",
        value=msgspec.Raw(b"null"),
        note=note,
        before=None,
        after=None,
        reason="",
        actor="",
    )
    return msgspec.json.encode(gone)


def _part(events: list[OutgoingEvent]) -> BatchPart:
    return BatchPart(events, b"".join(framed(event.data) for event in events))


def visible(principal: Principal, outgoing: OutgoingEvent) -> bool:
    """Whether the principal may receive this event: by tenant, and by the permission for its event family."""
    seen = may_see(principal, outgoing.tenant) or (outgoing.left is not None and may_see(principal, outgoing.left))
    return seen and may(principal, outgoing.permission) and _concerns(principal, outgoing)


def _concerns(principal: Principal, outgoing: OutgoingEvent) -> bool:
    """Whether an event is about what a reader that is limited to some VMs sees, or saw until now."""
    if not principal.vm_filter or outgoing.event.target.type in NEEDED:
        return True
    if outgoing.api_token:
        return outgoing.api_token == principal.limited_token or in_scope(principal, outgoing.subject)
    return in_scope(principal, outgoing.subject) or in_scope(principal, outgoing.subject_before)


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
