"""Delivers outbox records: folds, composes and encodes each once, then queues it for the listeners that may see it.

A listener whose queue is full is disconnected (close code 4008) and resumes with `?after=`: no event is skipped.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import msgspec

from novacron_core.api import events as api
from novacron_core.api.nouns import VMS
from novacron_core.rules.filters.vms import Scoped
from novacron_core.rules.visibility import SHARED, Principal
from novacron_core.values.roles import Role
from novacron_server.http.websocket.protocol import WebSocketProtocol
from novacron_server.inventory.state import InventoryState
from novacron_server.inventory.subjects import event_subject
from novacron_server.outbox.records import EventDraft, EventRecord
from novacron_server.stream.batches import Batch, BatchPart, OutgoingEvent, gone_frame, matches, permission_of
from novacron_server.stream.shown import ShownStorage, is_refresh

MAX_EVENTS = 20_000
"""Events kept in memory for listeners that resume."""
QUEUE = 2_000
"""How many frames may be queued for a listener."""
_ALL = api.Filters()


class Listener:
    """One open socket. `close_code` is set when it must be disconnected. `sent` counts the frames sent.

    While the socket's writer is waiting (`idle`) and the connection is free, events are written directly to it.
    """

    def __init__(self, principal: Principal, connection: WebSocketProtocol | None = None) -> None:
        self.principal = principal
        self.filters: api.Filters | None = api.Filters()
        self.queue: asyncio.Queue[bytes] = asyncio.Queue(QUEUE)
        self.samples: dict[str, list[bytes]] = {}
        self.sent = 0
        self.sent_at = 0.0
        self.idle = False
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self.close_code: asyncio.Future[int] = self._loop.create_future()

    def offer(self, batch: Batch) -> None:
        """Send those events of a batch that this listener may see and has subscribed to."""
        selected = batch.visible_to(self.principal)
        if self.filters is None or not selected.events:
            return
        if self.filters != _ALL:
            selected = Batch([item for item in selected.events if matches(self.filters, item.event)])
        for part in selected.parts:
            self._send_part(part)

    def _send_part(self, part: BatchPart) -> None:
        if self.idle and self._connection is not None and self._connection.free and self.queue.empty():
            self._connection.put(part.frames)
            self.record_sent(len(part.events))
        else:
            for item in part.events:
                self.send(item.data)

    def record_sent(self, frames: int) -> None:
        """Count frames that were just sent."""
        self.sent += frames
        self.sent_at = self._loop.time()

    def send(self, data: bytes) -> None:
        """Queue a frame; if the queue is full, disconnect the listener."""
        try:
            self.queue.put_nowait(data)
        except asyncio.QueueFull:
            self.end(api.CLOSE_LAGGED)

    def offer_samples(self, host_id: str, frames: list[bytes]) -> None:
        """Replace this host's unsent sample frames: even a slow listener gets only the latest samples.

        They are stored outside the queue, which contains one marker (an empty frame) for all of them.
        """
        if not self.samples and not self.queue.full():
            self.queue.put_nowait(b"")
        if self.samples or not self.queue.full():
            self.samples[host_id] = frames

    def expand(self, frame: bytes) -> list[bytes]:
        """The frames to send for an entry of the queue: the frame itself, or all stored samples for a marker."""
        if frame:
            return [frame]
        samples, self.samples = self.samples, {}
        return [frame for frames in samples.values() for frame in frames]

    def end(self, code: int) -> None:
        """Disconnect the listener soon, with this close code."""
        if not self.close_code.done():
            self.close_code.set_result(code)


class Hub:
    """One per server. `fold` is the outbox reader's callback."""

    def __init__(
        self,
        state: InventoryState,
        *,
        max_events: int = MAX_EVENTS,
        degraded: Callable[[], list[str]] = lambda: [],
    ) -> None:
        """`degraded` returns the names of the background tasks that have failed lately."""
        self.state = state
        self.degraded = degraded
        self._recent: deque[OutgoingEvent] = deque(maxlen=max_events)
        self._floor = 0
        self._listeners: set[Listener] = set()
        self._shown = ShownStorage(state.tables)
        self._subjects: dict[str, Scoped] = {}
        self._unlogged: dict[tuple[str, str, str, str], EventDraft] = {}
        self.database_away_since: datetime | None = None

    def start_history(self) -> None:
        """Keep events from the current number on; a resume from an earlier number gets the whole inventory instead."""
        self._floor = self.state.seq

    async def fold(self, records: list[EventRecord]) -> None:
        """Apply committed events, in order, to the inventory state, and send them to the listeners."""
        outgoing = []
        for record in records:
            before, subject_before = self._tenant_of(record), self._subject_of(record)
            self.state.fold(record)
            self._unlogged.pop(_key(record), None)
            event = _leaving(replace(self._compose(record), subject_before=subject_before), before)
            if len(self._recent) == self._recent.maxlen:
                self._floor = self._recent[0].seq
            self._recent.append(event)
            outgoing.append(event)
        self._broadcast(outgoing)

    def _broadcast(self, outgoing: list[OutgoingEvent]) -> None:
        batch = Batch(outgoing, self._shown)
        for listener in self._listeners:
            listener.offer(batch)

    def frames_after(self, principal: Principal, after: int) -> list[bytes] | None:
        """The frames after a number that this principal may see; None if they are no longer (or not yet) available.

        Those that only refresh a pool or tier are not among them for who is no administrator, because they may have come
        from what he does not see: he needs the current values of all.
        """
        if after < self._floor or after > self.state.seq:
            return None
        missed = [event for event in self._recent if event.seq > after]
        return _data(principal, _told_to(principal, missed))

    def publish_unlogged(self, drafts: Iterable[EventDraft]) -> None:
        """Send events that cannot be numbered now; the same drafts arrive later, numbered, through `fold`."""
        outgoing = []
        for draft in drafts:
            self._unlogged[_key(draft)] = draft
            outgoing.append(self._compose(_unnumbered(draft, self.state.seq), unlogged=True))
        self._broadcast(outgoing)

    def unlogged(self, principal: Principal) -> list[bytes]:
        """The events sent without a number that still have none, with current values: for a listener that resumes."""
        outgoing = [self._compose(_unnumbered(d, self.state.seq), unlogged=True) for d in self._unlogged.values()]
        return _data(principal, _told_to(principal, outgoing))

    def set_database_down(self, since: datetime | None) -> None:
        """Set since when the database is unavailable (None: it is back), and notify every listener immediately."""
        self.database_away_since = since
        self.beat()

    def beat(self) -> None:
        """Send a heartbeat to every listener now: the state of the server has changed."""
        for listener in self._listeners:
            listener.send(self.heartbeat())

    def heartbeat(self) -> bytes:
        """A heartbeat frame with the current time and state."""
        beat = api.Heartbeat(
            seq=self.state.seq,
            server_time=datetime.now(UTC),
            database_away_since=self.database_away_since,
            degraded=self.degraded(),
        )
        return msgspec.json.encode(beat)

    def add(self, listener: Listener) -> None:
        self._listeners.add(listener)
        self._shown.begin(listener.principal)

    def remove(self, listener: Listener) -> None:
        """A listener that was not added is none, and is ignored."""
        if listener in self._listeners:
            self._listeners.discard(listener)
            self._shown.end(listener.principal)

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    def _tenant_of(self, record: EventRecord) -> str | None:
        """The tenant of the target before this event, None for nobody's or none."""
        table = self.state.tables.get(record.target.type) if record.row is not None else None
        tenant, value = table.value(record) if table else (None, None)
        return tenant if value is not None else None

    def _subject_of(self, record: EventRecord) -> Scoped | None:
        """The VM that an event is about, as it is before it. That of an operation is kept until it ends: its VM may be
        gone by then."""
        table = self.state.tables.get(record.target.type)
        if table is None or (record.row is None and record.target.type != VMS.type):
            return None
        value = table.value(record)[1]
        found: Scoped | None = event_subject(self.state, record.source, record.target, value)
        if not isinstance(value, dict):
            return found
        found = self._subjects.get(record.target.id) or found
        if found is None or value.get("finished_at"):
            self._subjects.pop(record.target.id, None)
        else:
            self._subjects[record.target.id] = found
        return found

    def _compose(self, record: EventRecord, *, unlogged: bool = False) -> OutgoingEvent:
        table = self.state.tables.get(record.target.type)
        tenant, value = table.value(record) if table else (record.tenant, None)
        event = api.Event(
            seq=record.seq,
            id=record.id,
            type=record.type,
            source=record.source,
            target=record.target,
            time=record.time,
            tenant=tenant,
            priority=record.priority,
            value=msgspec.Raw(msgspec.json.encode(value)),
            note=record.note,
            unlogged=unlogged,
            before=record.before,
            after=record.after,
            reason=record.reason,
            actor=record.actor,
        )
        permission = permission_of(self.state.nouns, record.type)
        data = msgspec.json.encode(event)
        subject = event_subject(self.state, record.source, record.target, value)
        token = str(value.get("api_token", "")) if isinstance(value, dict) else ""
        outgoing = OutgoingEvent(record.seq, event, tenant, permission, data, subject=subject, api_token=token)
        if table is None or value is None or not table.limited:
            return outgoing
        return replace(outgoing, limited=(table, value))


def _data(principal: Principal, events: list[OutgoingEvent]) -> list[bytes]:
    """The frames of the events that this principal may see, as it may see them."""
    return [event.data for event in Batch(events).visible_to(principal).events]


def _told_to(principal: Principal, missed: list[OutgoingEvent]) -> list[OutgoingEvent]:
    if principal.role is Role.ADMINISTRATOR:
        return missed
    return [event for event in missed if not is_refresh(event.event)]


def _leaving(event: OutgoingEvent, before: str | None) -> OutgoingEvent:
    """The event, and what the readers of the tenant get that its target leaves with it: that the target is gone."""
    if before in (None, SHARED, event.tenant):
        return event
    data = gone_frame(event.event, before, "it now belongs to another tenant")
    return replace(event, left=before, left_data=data)


def _key(event: EventDraft | EventRecord) -> tuple[str, str, str, str]:
    return event.target.type, event.target.id, event.source, event.type


def _unnumbered(draft: EventDraft, seq: int) -> EventRecord:
    fields = {name: getattr(draft, name) for name in EventRecord.__struct_fields__ if hasattr(draft, name)} | {
        "row": None
    }
    return EventRecord(seq=seq, id=str(uuid4()), time=datetime.now(UTC), **fields)
