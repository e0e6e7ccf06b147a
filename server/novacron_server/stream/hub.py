"""From outbox records to every listener: fold, compose and encode once, then queue for those who may see it.

A listener whose queue is full is cut off (close code 4008) and comes back with `?after=`: nothing is skipped silently.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import uuid4

import msgspec

from novacron_core.api import events as api
from novacron_core.rules.visibility import SHARED, Principal
from novacron_server.http.websocket_protocol import WebSocketProtocol
from novacron_server.inventory.compose import compose_host
from novacron_server.inventory.state import InventoryState
from novacron_server.outbox.records import EventDraft, EventRecord
from novacron_server.stream.batches import Batch, BatchPart, OutgoingEvent, passes, visible

RING = 20_000
"""Events held in memory for listeners that come back."""
QUEUE = 2_000
"""Frames a listener may lag behind."""
_ALL = api.Filters()


class Listener:
    """One open socket. `over` is set, to a close code, when it must be cut off. `sent` counts the frames sent.

    While the writer of the socket has nothing in hand (`idle`) and the line is free, events go straight to the line.
    """

    def __init__(self, principal: Principal, line: WebSocketProtocol | None = None) -> None:
        self.principal = principal
        self.filters: api.Filters | None = api.Filters()
        self.queue: asyncio.Queue[bytes] = asyncio.Queue(QUEUE)
        self.samples: dict[str, list[bytes]] = {}
        self.sent = 0
        self.sent_at = 0.0
        self.idle = False
        self._line = line
        self._loop = asyncio.get_running_loop()
        self.over: asyncio.Future[int] = self._loop.create_future()

    def offer(self, batch: Batch) -> None:
        """Send of a batch what this listener may see and wants."""
        mine = batch.seen_by(self.principal)
        if self.filters is None or not mine.wires:
            return
        if self.filters != _ALL:
            mine = Batch([wire for wire in mine.wires if passes(self.filters, wire.event)])
        for part in mine.parts:
            self._send_part(part)

    def _send_part(self, part: BatchPart) -> None:
        if self.idle and self._line is not None and self._line.free and self.queue.empty():
            self._line.put(part.frames)
            self.count(len(part.wires))
        else:
            for wire in part.wires:
                self.send(wire.data)

    def count(self, frames: int) -> None:
        """Frames that were sent, now."""
        self.sent += frames
        self.sent_at = self._loop.time()

    def send(self, data: bytes) -> None:
        """Queue a frame; one too many ends the socket."""
        try:
            self.queue.put_nowait(data)
        except asyncio.QueueFull:
            self.end(api.CLOSE_LAGGED)

    def offer_samples(self, host_id: str, frames: list[bytes]) -> None:
        """Take the place of this host's frames that were not sent yet: however slow a listener, it gets the newest.

        They wait beside the queue, which holds one mark (an empty frame) for all of them.
        """
        if not self.samples and not self.queue.full():
            self.queue.put_nowait(b"")
        if self.samples or not self.queue.full():
            self.samples[host_id] = frames

    def take(self, frame: bytes) -> list[bytes]:
        """What goes out for an entry of the queue."""
        if frame:
            return [frame]
        samples, self.samples = self.samples, {}
        return [frame for frames in samples.values() for frame in frames]

    def end(self, code: int) -> None:
        """Cut it off, soon, with this close code."""
        if not self.over.done():
            self.over.set_result(code)


class Hub:
    """One per server. `fold` is the outbox reader's callback."""

    def __init__(self, state: InventoryState, *, wake: int = RING) -> None:
        self.state = state
        self._wake: deque[OutgoingEvent] = deque(maxlen=wake)
        self._floor = 0
        self._listeners: set[Listener] = set()
        self._unlogged: dict[tuple[str, str, str, str], EventDraft] = {}
        self.database_away_since: datetime | None = None

    def begin(self) -> None:
        """Hold events from the picture's number on; what came before this server is answered with an inventory."""
        self._floor = self.state.seq

    async def fold(self, records: list[EventRecord]) -> None:
        """Take committed events, in order, into the picture and out to the listeners."""
        wires = []
        for record in records:
            self.state.fold(record)
            self._unlogged.pop(_mark(record), None)
            wire = self._wire(record)
            if len(self._wake) == self._wake.maxlen:
                self._floor = self._wake[0].seq
            self._wake.append(wire)
            wires.append(wire)
        self._tell(wires)

    def _tell(self, wires: list[OutgoingEvent]) -> None:
        batch = Batch(wires)
        for listener in self._listeners:
            listener.offer(batch)

    def since(self, principal: Principal, after: int) -> list[bytes] | None:
        """The frames after a number that this principal may see; None when they are no longer (or not yet) held."""
        if after < self._floor or after > self.state.seq:
            return None
        return [wire.data for wire in self._wake if wire.seq > after and visible(principal, wire)]

    def tell_unlogged(self, drafts: Iterable[EventDraft]) -> None:
        """Tell what cannot be numbered now; the same drafts come again, numbered, through `fold`."""
        wires = []
        for draft in drafts:
            self._unlogged[_mark(draft)] = draft
            wires.append(self._wire(_unnumbered(draft, self.state.seq), unlogged=True))
        self._tell(wires)

    def unlogged(self, principal: Principal) -> list[bytes]:
        """What was told without a number and still has none, as it is now: for a reader who was away meanwhile."""
        wires = [self._wire(_unnumbered(d, self.state.seq), unlogged=True) for d in self._unlogged.values()]
        return [wire.data for wire in wires if visible(principal, wire)]

    def database_away(self, since: datetime | None) -> None:
        """The database went away, or (None) came back: every listener hears it at once, whatever it subscribed to."""
        self.database_away_since = since
        for listener in self._listeners:
            listener.send(self.heartbeat())

    def heartbeat(self) -> bytes:
        """A heartbeat frame of now."""
        beat = api.Heartbeat(
            seq=self.state.seq, server_time=datetime.now(UTC), database_away_since=self.database_away_since
        )
        return msgspec.json.encode(beat)

    def add(self, listener: Listener) -> None:
        self._listeners.add(listener)

    def remove(self, listener: Listener) -> None:
        self._listeners.discard(listener)

    def end_session(self, session_id: str) -> None:
        """Cut off the sockets of a session that ended."""
        for listener in self._listeners:
            if listener.principal.session_id == session_id:
                listener.end(api.CLOSE_UNAUTHENTICATED)

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    def _wire(self, record: EventRecord, *, unlogged: bool = False) -> OutgoingEvent:
        value, tenant = self._value(record)
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
        )
        return OutgoingEvent(record.seq, event, tenant, msgspec.json.encode(event))

    def _value(self, record: EventRecord) -> tuple[object, str | None]:
        """The whole new value of the target (None: it is gone) and the tenant that decides who sees it."""
        kind, target_id = record.target.type, record.target.id
        if kind == "vm":
            vm = self.state.composed((record.source, target_id))  # a VM's events come from its host
            return vm, vm.tenant if vm else record.tenant
        if kind == "volume":
            volume = self.state.storage.volume(target_id)
            return volume, volume.tenant if volume else record.tenant
        if kind == "host":
            view = self.state.views.get(target_id)
            return (compose_host(view) if view else None), SHARED
        if kind == "pool":
            return self.state.storage.pool(target_id), SHARED
        if kind == "tier":
            return self.state.storage.tier(target_id), SHARED
        if kind == "operation":
            return record.row, record.tenant
        return None, record.tenant


def _mark(told: EventDraft | EventRecord) -> tuple[str, str, str, str]:
    return told.target.type, told.target.id, told.source, told.type


def _unnumbered(draft: EventDraft, seq: int) -> EventRecord:
    return EventRecord(
        seq=seq,
        id=str(uuid4()),
        time=datetime.now(UTC),
        type=draft.type,
        source=draft.source,
        target=draft.target,
        tenant=draft.tenant,
        priority=draft.priority,
        row=None,
        gone=draft.gone,
        note=draft.note,
    )
