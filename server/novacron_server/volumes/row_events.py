"""The events that carry a volume's row."""

from __future__ import annotations

import msgspec

from novacron_core.api.operations import Target
from novacron_server.inventory.rows import VolumeRow
from novacron_server.outbox.records import EventDraft


def volume_row_event(row: VolumeRow, kind: str = "volume.created", *, gone: bool = False) -> EventDraft:
    """The event that carries a volume's row, or reports its removal."""
    return EventDraft(
        type="volume.deleted" if gone else kind,
        source=row.host_id,
        target=Target(type="volume", id=row.id, name=row.name),
        tenant=row.tenant,
        row=msgspec.to_builtins(row),
        gone=gone,
    )
