"""Events as the parts of a server make them, for tests of lists of events."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from novacron_core.api.operations import Operation, OperationState, Target
from novacron_server.operations.acceptance import operation_event
from novacron_server.outbox.records import EventDraft


def event(name: str = "web-01", kind: str = "vm.stopped", **more: Any) -> EventDraft:
    fields: dict[str, Any] = {"tenant": None, "source": "h-1", **more}
    return EventDraft(type=kind, target=Target(type=kind.split(".")[0], id=f"id-{name}", name=name), **fields)


def operation(name: str = "web-01", state: str = "failed", **more: Any) -> EventDraft:
    fields: dict[str, Any] = {"kind": "vm.start", "actor": "bob", "started_at": datetime.now(UTC), **more}
    made = Operation(
        id=f"11111111-0000-0000-0000-{abs(hash((name, state, str(more)))) % 10**12:012}",
        target=Target(type="vm", id=f"id-{name}", name=name),
        state=OperationState(state),
        created_at=datetime.now(UTC),
        **fields,
    )
    return operation_event(made, f"operation.{state}")
