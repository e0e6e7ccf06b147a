"""What a transaction wants told (Draft), and what the outbox holds of it (Record)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from novacron_core.api.events import Priority
from novacron_core.api.operations import Target


class EventDraft(msgspec.Struct, frozen=True):
    """An event before it has its number.

    `row` is the changed database row's values (None: no row changed, the event tells of libvirt alone); `gone` says
    that the target is no more. The wire value is composed when the event is folded, not stored.
    """

    type: str
    source: str
    target: Target
    tenant: str | None = None
    priority: Priority = Priority.NORMAL
    row: dict[str, Any] | None = None
    gone: bool = False
    note: str = ""


class EventRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An event as committed. `seq` is contiguous and rises in commit order. Times and ids in `row` are JSON text."""

    seq: int
    id: str
    time: datetime
    type: str
    source: str
    target: Target
    tenant: str | None
    priority: Priority
    row: dict[str, Any] | None
    gone: bool
    note: str
