"""What happened while an operator was away, in one line."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

from novacron_core.api.base import Page
from novacron_core.api.stored_events import EventQuery, StoredEvent
from novacron_core.rules.filters.events import NOTABLE, PART
from novacron_core.values.ages import duration_words
from novacron_core.values.counts import counted

LEAST_S = 300.0
"""Who was away for less has seen it, in this console or in another one."""
_KINDS = (
    ("type:vm.crashed", "crash", "crashes", "bad"),
    ("type:operation.failed,operation.interrupted", "failed", "failed", "bad"),
    ("type:host.down", "host lost", "hosts lost", "bad"),
    ("type:operation.succeeded what:created", "created", "created", "plain"),
)
"""Filter, words for one and for several, tone."""
_EVERYTHING = f"is:{NOTABLE} -is:{PART} -type:system.started,host.up"
"""What happened, but not that a server was started and has found its hosts."""


async def since_left(
    read: Callable[[EventQuery], Awaitable[Page[StoredEvent]]], left: datetime, now: datetime
) -> tuple[str, str] | None:
    """The line and its tone; None for an operator who was away only briefly. Raises NovaCronError."""
    away_s = (now - left).total_seconds()
    if away_s < LEAST_S:
        return None

    async def count(q: str) -> int:
        return (await read(EventQuery(q=q, from_=left, page_size=1))).total

    total = await count(_EVERYTHING)
    if not total:
        return f"nothing happened since you left {duration_words(away_s)} ago", "plain"
    found = [(await count(q), one, several, tone) for q, one, several, tone in _KINDS]
    parts = [f"{number:,} {one if number == 1 else several}" for number, one, several, _ in found if number]
    tone = "bad" if any(number and tone == "bad" for number, _, _, tone in found) else "plain"
    what = ", ".join(parts) or counted(total, "event")
    return f"since you left {duration_words(away_s)} ago: {what}  (7 shows them)", tone
