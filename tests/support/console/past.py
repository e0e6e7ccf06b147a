"""A past for the console's tests: stored events as the server lists them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from novacron_core.api.operations import Operation, OperationState, Target
from novacron_core.api.stored_events import StoredEvent
from novacron_core.api.vms import VM
from tests.support.console.world import HOST_ID, NOW, fleet, operation, vm


def stored(seq: int, target: VM, kind: str, at: datetime, **more: Any) -> StoredEvent:
    return StoredEvent(
        seq=seq, id=f"e{seq}", type=kind, source=HOST_ID, time=at, target=Target(type="vm", id=target.id, name=target.name),
        **more,
    )  # fmt: skip


def stored_end(seq: int, op: Operation) -> StoredEvent:
    """The event that reports the end of an operation."""
    assert op.finished_at is not None
    return StoredEvent(
        seq=seq, id=f"e{seq}", type=f"operation.{op.state}", source="operations", time=op.finished_at, after=str(op.state),
        target=Target(type="operation", id=op.id, name=op.kind), actor=op.actor, operation=op,
    )  # fmt: skip


def ended(kind: str, target: VM, at: datetime, **more: Any) -> Operation:
    fields: dict[str, Any] = {
        "id": f"op-{kind}-{target.name}-{at:%H%M%S}",
        "state": OperationState.SUCCEEDED,
        "created_at": at - timedelta(seconds=3),
        "started_at": at - timedelta(seconds=3),
        "finished_at": at,
        **more,
    }
    return msgspec.structs.replace(operation(kind, target), **fields)


def last_night() -> list[StoredEvent]:
    """Two days: a crash in the night, 134 VMs that were shut down, a creation and a start that failed."""
    web, _, db, *_ = fleet()
    found: list[StoredEvent] = []

    def add(make: Any, *arguments: Any, **more: Any) -> None:
        found.append(make(1000 - len(found), *arguments, **more))

    for number in range(134):
        name = vm(f"dns-{number:03d}", 200 + number)
        add(stored_end, ended("vm.stop", name, NOW - timedelta(minutes=50, seconds=number / 4), actor="admin"))
    night = NOW - timedelta(hours=9, minutes=54)
    add(stored, fleet()[5], "vm.crashed", night, before="running", after="crashed", reason="guest kernel panic")
    add(stored_end, ended("vm.create", web, night - timedelta(hours=2), actor="bob"))
    add(
        stored, web, "vm.started", night - timedelta(hours=2, seconds=1), before="stopped", after="running", actor="bob"
    )
    add(stored_end, ended("vm.pause", db, NOW - timedelta(hours=19), actor="ada"))
    return found
