"""The inventory state in the console, from the event stream, and how fresh it is. `feed` is its only writer.

Independent of Textual. Reads are typed and cheap; `version` changes with every change of the state.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from novacron_core.api.events import (
    HEARTBEAT_S,
    Event,
    GoneFrame,
    Heartbeat,
    Hello,
    InventoryFrame,
    SamplesFrame,
    ValuesFrame,
)
from novacron_core.api.hosts import Host
from novacron_core.api.nouns import HOSTS, NOUNS, OPERATIONS, POOLS, TIERS, VMS, VOLUMES, Noun, Nouns
from novacron_core.api.operations import Operation
from novacron_core.api.pools import Pool
from novacron_core.api.stored_events import StoredEvent
from novacron_core.api.tiers import Tier
from novacron_core.api.vms import VM, State
from novacron_core.api.volumes import Volume
from novacron_tui.connection.clock import ServerClock
from novacron_tui.connection.host_names import HostNames
from novacron_tui.connection.samples import SampleStore
from novacron_tui.terminal.safe_text import one_line

STALE_AFTER = timedelta(seconds=HEARTBEAT_S * 1.5)
"""A connection without data for longer than this is no longer live."""
MAX_EVENTS = 500
MAX_OPERATIONS = 1000
MAX_WARNINGS = 100
WARNING = "access.warning"
"""The type of the events that warn administrators of what endangers access."""


T = TypeVar("T")
VMKey = tuple[str, str]
"""Host and UUID: the key of a VM. The UUID alone is not unique: two hosts may have a VM with the same one."""


def key_of(vm: VM) -> VMKey:
    """The VM's host and UUID."""
    return (vm.host, vm.id)


class ConnectionState(StrEnum):
    """How current the inventory state is."""

    LOADING = "loading"
    LIVE = "live"
    STALE = "stale"
    OFFLINE = "offline"


class Store:
    """Everything visible to this session, by id; VMs by host and UUID.

    `now` is the server's time, for ages and ranges; `clock` tells whether it differs from this machine's. `since` is when
    the connection was established or lost, `received_at` when the last frame was received, `retry_at` the next attempt
    while offline: these are times of this machine's clock.
    """

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC), nouns: Nouns = NOUNS) -> None:
        """`now` is this machine's clock. `nouns` are the kinds of objects that are kept, each in a table of its own."""
        self._local = now
        self.clock = self.now = ServerClock(now)
        self.nouns = nouns
        self._tables: dict[str, dict[Any, Any]] = {noun.type: {} for noun in nouns}
        self.version = 0
        self.seq = 0
        self.server_version = ""
        self.reason = ""
        self.since = now()
        self.received_at: datetime | None = None
        self.retry_at: datetime | None = None
        self.database_away_since: datetime | None = None
        self.degraded: list[str] = []
        """The background tasks of the server that have failed lately."""
        self.vms: dict[VMKey, VM] = self.table(VMS)
        self.hosts: dict[str, Host] = self.table(HOSTS)
        self.volumes: dict[str, Volume] = self.table(VOLUMES)
        self.pools: dict[str, Pool] = self.table(POOLS)
        self.tiers: dict[str, Tier] = self.table(TIERS)
        self.operations: dict[str, Operation] = self.table(OPERATIONS)
        self._names = HostNames()
        self.events: deque[Event] = deque(maxlen=MAX_EVENTS)
        self.events_after = 0
        """All events after this number are in `events`; earlier ones may be missing there."""
        self.access_seq = 0
        """The number of the newest event about access that was received."""
        self.username = ""
        """Who uses this console."""
        self.warnings: dict[str, Event | StoredEvent] = {}
        """The security warnings that are known, by the ids of their events; only administrators receive any."""
        self.samples = SampleStore(now)
        self._connected = False
        self._complete = False
        self._loaded = False
        self._busy: dict[str, Operation] = {}
        self._keys: dict[str, tuple[VMKey, ...]] = {}
        self._counted: tuple[int, Counter[State]] = (-1, Counter())
        self._parts: list[InventoryFrame] = []

    # -- reading ---------------------------------------------------------------------------------------------------

    def table(self, noun: Noun[T]) -> dict[Any, T]:
        """The objects of a noun by its key; the same dictionary for the life of the store."""
        return self._tables[noun.type]

    @property
    def connection(self) -> ConnectionState:
        """LIVE only while connected, complete and recently updated."""
        if not self._loaded and not self.reason:
            return ConnectionState.LOADING
        if not self._connected:
            return ConnectionState.OFFLINE
        if not self._loaded:
            return ConnectionState.LOADING
        received = self.received_at or self.since
        return (
            ConnectionState.LIVE
            if self._complete and self._local() - received <= STALE_AFTER
            else ConnectionState.STALE
        )

    @property
    def loaded(self) -> bool:
        """Whether a complete inventory was ever received."""
        return self._loaded

    @property
    def age_s(self) -> float:
        """Seconds since data was last received from the server."""
        return max(0.0, (self._local() - (self.received_at or self.since)).total_seconds())

    @property
    def retry_in_s(self) -> float | None:
        """Seconds until the next attempt to connect; None unless one is planned."""
        return None if self.retry_at is None else max(0.0, (self.retry_at - self._local()).total_seconds())

    def why_no_change(self) -> str | None:
        """The sentence that refuses every change while the server cannot be reached, or None."""
        if self.connection is ConnectionState.OFFLINE:
            return "offline: changes are disabled until the connection is back"
        if self.connection is ConnectionState.LOADING:
            return "still loading: changes are disabled"
        if self.database_away_since is not None:
            return "the server's database is down: changes are disabled until it is back"
        return None

    def running(self) -> list[Operation]:
        """Operations that have not ended."""
        return list(self._busy.values())

    def operation_on(self, thing: VM | Volume) -> Operation | None:
        """The operation that runs on a VM or volume, from whichever event is newest."""
        current = self._busy.get(thing.id)
        if current is None and thing.operation_id is not None:
            current = self.operations.get(thing.operation_id)
        return None if current is None or current.state.ended else current

    def operations_of(self, target_id: str) -> list[Operation]:
        """Operations on one target, newest first."""
        found = [op for op in self.operations.values() if op.target.id == target_id]
        return sorted(found, key=lambda op: op.created_at, reverse=True)

    def counts(self) -> Counter[State]:
        """The number of VMs in each state; cached per version."""
        if self._counted[0] != self.version:
            self._counted = (self.version, Counter([vm.state for vm in self.vms.values()]))
        return self._counted[1]

    def vms_with(self, vm_id: str) -> list[VM]:
        """The VMs with this UUID: none when unknown, several when hosts share it."""
        return [self.vms[key] for key in self._keys.get(vm_id, ())]

    def events_of(self, vm: VM) -> list[Event]:
        """Events of a VM since this console connected, newest first, without those of VMs with the same UUID on other
        hosts."""
        events = (event for event in reversed(self.events) if event.target.id == vm.id)
        return [event for event in events if event.source not in vm.duplicate_on]

    def host_name(self, host_id: str) -> str:
        """The distinct name of a host; its id when the host is unknown."""
        return self._names.of(host_id, self.hosts, self.version)

    # -- writing ---------------------------------------------------------------------------------------------------

    def set_connected(self, hello: Hello, took_s: float = 0.0) -> None:
        """The connection is open, `took_s` seconds after it was requested. The state is complete once the inventory or
        the missed events have arrived."""
        self.clock.start(hello.server_time, took_s)
        self.server_version = hello.version
        self.database_away_since = hello.database_away_since
        self.degraded = hello.degraded
        self._parts.clear()
        self._set_connection(connected=True, reason="", retry_s=None)

    def set_disconnected(self, reason: str, retry_s: float) -> None:
        """The connection is lost. The state is kept, with its age."""
        self._parts.clear()
        self._set_connection(connected=False, reason=reason, retry_s=retry_s)

    def apply(self, frame: InventoryFrame | ValuesFrame | Event | SamplesFrame | GoneFrame | Heartbeat) -> bool:
        """Apply a frame; True when the state changed."""
        self.received_at = self._local()
        if isinstance(frame, InventoryFrame):
            return self._add_part(frame)
        if isinstance(frame, Event):
            return self._apply_event(frame)
        if isinstance(frame, SamplesFrame):
            self.samples.apply(frame)
            return True
        if isinstance(frame, ValuesFrame):
            return self._replace_nouns(frame)
        if isinstance(frame, GoneFrame):
            self._complete = False
            self.version += 1
            return True
        self.clock.note(frame.server_time)
        return self._set_server_state(frame.database_away_since, frame.degraded)

    def _set_server_state(self, away_since: datetime | None, degraded: list[str]) -> bool:
        changed = (away_since, degraded) != (self.database_away_since, self.degraded)
        self.database_away_since, self.degraded = away_since, degraded
        self.version += changed
        return changed

    def _set_connection(self, *, connected: bool, reason: str, retry_s: float | None) -> None:
        now = self._local()
        if connected != self._connected:
            self.since = now
        if connected:
            self.received_at = now
        self._connected = connected
        self.reason = one_line(reason)
        self.retry_at = None if retry_s is None else now + timedelta(seconds=retry_s)
        self.version += 1

    def _add_part(self, part: InventoryFrame) -> bool:
        if part.part == 0 or (self._parts and self._parts[0].seq != part.seq):
            self._parts.clear()
        self._parts.append(part)
        if not part.last:
            return False
        parts, self._parts = self._parts, []
        self._replace(parts)
        self.seq = self.events_after = part.seq
        self._complete = not any(other.unreadable for other in parts)
        self._loaded = True
        self.version += 1
        return True

    def _replace(self, parts: Sequence[InventoryFrame]) -> None:
        for noun in self.nouns:
            things = [thing for part in parts for thing in part.of(noun)]
            if noun.type != VMS.type:
                self._fill(noun, things)
        self._busy = {op.target.id: op for op in self.operations.values() if not op.state.ended}
        self.vms.clear()
        self._keys = {}
        for part in parts:
            for vm in part.of(VMS):
                self._put_vm(vm)

    def _fill(self, noun: Noun[Any], things: Iterable[Any]) -> None:
        """These are all objects of the noun now."""
        table = self._tables[noun.type]
        table.clear()
        table.update({noun.key(thing): thing for thing in things})

    def _replace_nouns(self, frame: ValuesFrame) -> bool:
        """Replace the objects of the nouns that the frame has; never VMs, which have tables of their own."""
        for noun in self.nouns:
            if noun.list_field in frame.things and noun.type != VMS.type:
                self._fill(noun, frame.things[noun.list_field])
        self._complete = self._complete and not frame.unreadable
        self.version += 1
        return True

    def _apply_event(self, event: Event) -> bool:
        # An unlogged event repeats the last sequence number, but its value is new.
        if not event.unlogged and event.seq and event.seq <= self.seq:
            return False
        self.seq = event.seq or self.seq
        try:
            value = event.decoded(self.nouns)
        except (msgspec.ValidationError, RecursionError):
            # One malformed value must not break the console, but the state is now incomplete.
            self._complete = False
            self.version += 1
            return True
        if len(self.events) == MAX_EVENTS:
            self.events_after = max(self.events_after, self.events[0].seq)
        self.events.append(event)
        if event.type.startswith("access."):
            self.access_seq = event.seq
            self.note_warnings([event])
        self.version += 1
        noun = self.nouns.of_type(event.target.type)
        if isinstance(value, VM):
            self._put_vm(value)
        elif isinstance(value, Operation):
            self._put_operation(value)
        elif noun is not None and value is not None:
            self._tables[noun.type][noun.key(value)] = value
        elif noun is not None:
            self._remove(noun, event)
        return True

    def note_warnings(self, events: Iterable[Event | StoredEvent]) -> None:
        """Keep those of these events that are security warnings, also of the time before this console connected."""
        found = {event.id: event for event in events if event.type == WARNING and event.id not in self.warnings}
        if found:
            kept = sorted((self.warnings | found).values(), key=lambda event: event.time)[-MAX_WARNINGS:]
            self.warnings = {event.id: event for event in kept}
            self.version += 1

    def _remove(self, noun: Noun[Any], event: Event) -> None:
        if noun.type == VMS.type:
            self._remove_vm((event.source, event.target.id))
        else:
            self._tables[noun.type].pop(noun.key_of(event.source, event.target.id), None)

    def _put_vm(self, vm: VM) -> None:
        key = key_of(vm)
        if key not in self.vms:
            self._keys[vm.id] = (*self._keys.get(vm.id, ()), key)
        self.vms[key] = vm

    def _remove_vm(self, key: VMKey) -> None:
        if self.vms.pop(key, None) is None:
            return
        vm_id = key[1]
        left = tuple(other for other in self._keys.pop(vm_id) if other != key)
        if left:
            self._keys[vm_id] = left

    def _put_operation(self, op: Operation) -> None:
        self.operations.pop(op.id, None)
        self.operations[op.id] = op
        if not op.state.ended:
            self._busy[op.target.id] = op
        elif (held := self._busy.get(op.target.id)) and held.id == op.id:
            del self._busy[op.target.id]
        self._trim()

    def _trim(self) -> None:
        if len(self.operations) <= MAX_OPERATIONS:
            return
        ended = [op_id for op_id, op in self.operations.items() if op.state.ended]
        if ended:  # those of bulks first: a bulk stands for them
            del self.operations[next((op_id for op_id in ended if self.operations[op_id].parent), ended[0])]
