"""The events that carry a VM's row."""

from __future__ import annotations

import msgspec

from novacron_core.api.operations import Target
from novacron_server.inventory.rows import VMRow
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
