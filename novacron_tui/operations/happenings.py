"""The entries of the activity: operations and events of the stream and of a log of stored ones, each once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from novacron_core.api.events import Event
from novacron_core.api.operations import Operation
from novacron_core.api.stored_events import StoredEvent
from novacron_core.rules.event_words import is_notable
from novacron_tui.connection.event_log import EventLog
from novacron_tui.connection.store import Store
from novacron_tui.operations.entries import ActivityEntry, of_event, of_operation
from novacron_tui.operations.timeline import without_told

_MAX_CACHED = 20_000


class Happenings:
    """`keep` selects entries; without it the operations of bulks are left out."""

    def __init__(self, store: Store, keep: Callable[[ActivityEntry], bool] | None = None) -> None:
        self._store = store
        self._keep = keep
        self._made: dict[str, ActivityEntry] = {}

    def entries(self, log: EventLog) -> list[ActivityEntry]:
        """All entries, unsorted. What is older than the oldest event of the log is left out, unless the log is complete:
        between the two something may be missing."""
        operations = {event.operation.id: event.operation for event in log.stored if event.operation is not None}
        operations |= self._store.operations
        found = [self._of_operation(op) for op in operations.values()]
        found += [self._of_event(event) for event in log.stored if event.operation is None]
        found += [self._of_event(event) for event in self._notable(log.live)]
        if self._keep is not None:
            return self._since(log, without_told([entry for entry in found if self._keep(entry)]))
        return self._since(log, [e for e in without_told(found) if e.op is None or e.op.parent not in operations])

    def stored(self, log: EventLog) -> list[ActivityEntry]:
        """The entries of a log that the server has filtered: those of the stream are not among them."""
        made = [self._of_operation(e.operation) if e.operation else self._of_event(e) for e in log.stored]
        return [entry for entry in made if self._keep is None or self._keep(entry)]

    @staticmethod
    def _notable(events: Iterable[Event]) -> Iterable[Event]:
        return (e for e in events if e.target.type != "operation" and is_notable(e.type, e.note))

    @staticmethod
    def _since(log: EventLog, found: list[ActivityEntry]) -> list[ActivityEntry]:
        if log.complete or log.floor is None:
            return found
        floor: datetime = log.floor.time
        return [entry for entry in found if entry.runs or entry.at >= floor]

    def _of_operation(self, op: Operation) -> ActivityEntry:
        hosts = tuple(text for vm in self._store.vms_with(op.target.id) for text in self._host(vm.host))
        return of_operation(op, hosts)

    def _of_event(self, event: Event | StoredEvent) -> ActivityEntry:
        """An entry does not change, so it is made once."""
        if (made := self._made.get(event.id)) is None:
            if len(self._made) > _MAX_CACHED:
                self._made.clear()
            made = self._made[event.id] = of_event(event, self._store.host_name(event.source))
        return made

    def _host(self, host_id: str) -> tuple[str, str]:
        return host_id, self._store.host_name(host_id)
