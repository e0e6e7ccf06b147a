"""The database goes away and comes back: said on the stream at once, and in the history afterwards."""

from __future__ import annotations

from datetime import UTC, datetime

import structlog

from novacron_core.api.events import Priority
from novacron_core.api.operations import Target
from novacron_core.rules.visibility import SHARED
from novacron_server.inventory.publisher import Publisher
from novacron_server.outbox.records import EventDraft
from novacron_server.stream.hub import Hub

_log = structlog.get_logger()


class DatabaseOutage:
    """Told by the outbox reader, who asks every second; it is the judge of whether the database is there."""

    def __init__(self, hub: Hub, publisher: Publisher) -> None:
        self._hub = hub
        self._publisher = publisher

    def health(self, healthy: bool) -> None:
        """The database was lost (False) or is back (True)."""
        now = datetime.now(UTC)
        since = self._hub.database_away_since
        if not healthy and since is None:
            _log.error("the database is away: changes are refused, reads go on from memory")
            self._hub.database_away(now)
            self._publisher.database_away(True)
            self._publisher.publish(_told("lost", Priority.CRITICAL, f"changes are refused since {now:%H:%M:%S} UTC"))
        elif healthy and since is not None:
            away_s = (now - since).total_seconds()
            _log.warning("the database is back", away_s=round(away_s, 1))
            self._publisher.database_away(False)
            self._publisher.publish(_told("back", Priority.HIGH, f"it was away for {away_s:.0f} s"))
            self._hub.database_away(None)


def _told(what: str, priority: Priority, note: str) -> EventDraft:
    target = Target(type="system", id="database", name="database")
    kind = f"system.database_{what}"
    return EventDraft(type=kind, source="server", target=target, tenant=SHARED, priority=priority, note=note)
