"""Reports database outages: immediately on the event stream, and afterwards in the event history."""

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
    """Reports outages that the outbox reader detects; it polls every second."""

    def __init__(self, hub: Hub, publisher: Publisher) -> None:
        self._hub = hub
        self._publisher = publisher

    def report(self, healthy: bool) -> None:
        """The database was lost (False) or is back (True)."""
        now = datetime.now(UTC)
        since = self._hub.database_away_since
        if not healthy and since is None:
            _log.error("database unavailable: changes are refused, reads are served from memory")
            self._hub.set_database_down(now)
            self._publisher.set_database_down(True)
            self._publisher.publish(_event("lost", Priority.CRITICAL, f"changes refused since {now:%H:%M:%S} UTC"))
        elif healthy and since is not None:
            away_s = (now - since).total_seconds()
            _log.warning("database available again", away_s=round(away_s, 1))
            self._publisher.set_database_down(False)
            self._publisher.publish(_event("back", Priority.HIGH, f"unavailable for {away_s:.0f} s"))
            self._hub.set_database_down(None)


def _event(change: str, priority: Priority, note: str) -> EventDraft:
    target = Target(type="system", id="database", name="database")
    kind = f"system.database_{change}"
    return EventDraft(type=kind, source="server", target=target, tenant=SHARED, priority=priority, note=note)
