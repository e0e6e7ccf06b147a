"""Events before (EventDraft) and after (EventRecord) they are committed to the outbox."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from novacron_core.api.events import Priority
from novacron_core.api.operations import Target
from novacron_server.audit.records import AuditDraft


class EventDraft(msgspec.Struct, frozen=True):
    """An event without a sequence number.

    `row` contains the changed database row's values (None: no row changed, the event is about libvirt only). `gone`:
    the target no longer exists. The API value is composed when the event is folded, and not stored. `before`, `after`,
    `reason` and `actor` are those of the API's Event. `audit` is the audit log's entry of the same change, which is
    written with it; None for an event that reports no change by a person.
    """

    type: str
    source: str
    target: Target
    tenant: str | None = None
    priority: Priority = Priority.NORMAL
    row: dict[str, Any] | None = None
    gone: bool = False
    note: str = ""
    before: str | None = None
    after: str | None = None
    reason: str = ""
    actor: str = ""
    audit: AuditDraft | None = None


class EventRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A committed event. `seq` is contiguous and rises in commit order. Times and ids in `row` are JSON text."""

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
    before: str | None = None
    after: str | None = None
    reason: str = ""
    actor: str = ""
