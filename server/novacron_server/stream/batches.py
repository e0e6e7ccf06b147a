"""Events on their way out: made once, whoever gets them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from novacron_core.api import events as api
from novacron_core.rules.visibility import Principal, may_see
from novacron_core.values.roles import Permission, Role, allows
from novacron_server.http.websocket_protocol import framed

PART_BYTES = 64 * 1024
"""What is put on a line at once: whether it is still free is looked at before each part."""

_FAMILIES: dict[str, Permission] = {
    "vm": Permission.VM_READ,
    "volume": Permission.VOLUME_READ,
    "pool": Permission.VOLUME_READ,
    "tier": Permission.VOLUME_READ,
    "host": Permission.HOST_READ,
    "operation": Permission.OPERATION_READ,
    "access": Permission.ACCESS_ADMIN,
    "system": Permission.EVENT_READ,
}


@dataclass(frozen=True, slots=True)
class OutgoingEvent:
    """An event as it goes out, with what decides who gets it."""

    seq: int
    event: api.Event
    tenant: str | None
    data: bytes


@dataclass(frozen=True, slots=True)
class BatchPart:
    """Events that go out together."""

    wires: list[OutgoingEvent]
    frames: bytes


class Batch:
    """Events that came together, in order. What one reader may see is found once for all of his role and tenant."""

    def __init__(self, wires: list[OutgoingEvent]) -> None:
        self.wires = wires
        self._seen: dict[tuple[Role, str], Batch] = {}

    def seen_by(self, principal: Principal) -> Batch:
        """What this principal may see of it."""
        key = (principal.role, principal.tenant)
        if key not in self._seen:
            self._seen[key] = Batch([wire for wire in self.wires if visible(principal, wire)])
        return self._seen[key]

    @cached_property
    def parts(self) -> list[BatchPart]:
        """Its frames, joined to parts of PART_BYTES or one frame."""
        parts: list[BatchPart] = []
        wires: list[OutgoingEvent] = []
        size = 0
        for wire in self.wires:
            if wires and size + len(wire.data) > PART_BYTES:
                parts.append(_part(wires))
                wires, size = [], 0
            wires.append(wire)
            size += len(wire.data)
        return [*parts, _part(wires)] if wires else parts


def _part(wires: list[OutgoingEvent]) -> BatchPart:
    return BatchPart(wires, b"".join(framed(wire.data) for wire in wires))


def visible(principal: Principal, wire: OutgoingEvent) -> bool:
    """Whether the principal may get this event: by tenant, and by the permission of its family."""
    permission = _FAMILIES.get(wire.event.type.split(".", 1)[0], Permission.ACCESS_ADMIN)
    return may_see(principal, wire.tenant) and allows(principal.role, permission)


def passes(filters: api.Filters, event: api.Event) -> bool:
    return (
        (not filters.types or any(_matches(pattern, event.type) for pattern in filters.types))
        and (not filters.sources or event.source in filters.sources)
        and (not filters.targets or event.target.id in filters.targets)
        and (not filters.priorities or event.priority in filters.priorities)
    )


def _matches(pattern: str, kind: str) -> bool:
    return kind.startswith(pattern[:-1]) if pattern.endswith("*") else kind == pattern
