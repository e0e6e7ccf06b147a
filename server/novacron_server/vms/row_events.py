"""The events that carry a VM's row, or the row of its crash."""

from __future__ import annotations

import msgspec

from novacron_core.api.events import Priority
from novacron_core.api.operations import Target
from novacron_core.api.vms import State
from novacron_server.inventory.rows import CrashRow, VMRow
from novacron_server.inventory.state import CRASH, Key
from novacron_server.outbox.records import EventDraft


def vm_row_event(row: VMRow, kind: str, *, gone: bool = False, note: str = "") -> EventDraft:
    """The event that carries a VM's row, or reports its removal."""
    return EventDraft(
        type=kind,
        source=row.host_id,
        target=Target(type="vm", id=row.id, name=row.name),
        tenant=row.tenant,
        row=msgspec.to_builtins(row),
        gone=gone,
        note=note,
    )


def crash_event(
    key: Key,
    target: Target,
    tenant: str | None,
    crash: CrashRow | None,
    *,
    kind: str,
    priority: Priority = Priority.NORMAL,
    note: str = "",
) -> EventDraft:
    """The event that carries the row of a VM's crash; None: the crash is over."""
    row = {CRASH: msgspec.to_builtins(crash) if crash is not None else None}
    draft = EventDraft(type=kind, source=key[0], target=target, tenant=tenant, priority=priority, row=row, note=note)
    if kind != "vm.crashed" or crash is None:
        return draft
    return msgspec.structs.replace(draft, after=str(State.CRASHED), reason=crash.reason)
