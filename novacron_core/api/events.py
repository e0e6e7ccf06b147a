"""The event stream: frames from the server, messages to it. One JSON value per WebSocket text frame.

`frame` is the tag of the union. The `value` of an event is the complete new value of its target (None: deleted), so
applying an event twice is harmless. `seq` increases strictly but may have gaps.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from novacron_core.api.base import Nothing, Request, Time, is_of_unknown_kind
from novacron_core.api.endpoint import endpoint
from novacron_core.api.nouns import NOUNS, Noun, Nouns
from novacron_core.api.operations import Target
from novacron_core.api.problem import Problem
from novacron_core.api.samples import HeatSample, HostSample, TierSample, VMSample
from novacron_core.values.open_enum import OpenEnum
from novacron_core.values.roles import Permission as P

T = TypeVar("T")
MAX_CLIENT_FRAME_BYTES = 8 * 1024
MAX_INVENTORY_PART_BYTES = 256 * 1024
HEARTBEAT_S = 20.0
SILENCE_S = 60.0
CLOSE_LAGGED = 4008
CLOSE_UNAUTHENTICATED = 4401


class Priority(OpenEnum):
    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    CRITICAL = "critical"


def _frame_tag(name: str) -> str:
    return name.removesuffix("Frame").lower()


class Frame(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="frame", tag=_frame_tag):
    """A frame from the server."""


class Hello(Frame, frozen=True):
    protocol: int
    version: str
    session: str
    server_time: Time
    database_away_since: Time | None = None
    """Since when the database is unavailable: changes are refused, rows are of that time. None: it is available."""
    degraded: list[str] = []
    """The background tasks of the server that have failed lately: what they keep current may be old."""
    samples: bool = False
    """Whether this server sends samples on request."""
    heat: bool = False
    """Whether it sends the heat of volumes with them."""


class InventoryFrame(Frame, frozen=True):
    """A part of everything that this reader may see, as of `seq`. All parts together replace what was known before.

    On the wire `things` are the frame's other fields: the list field of each noun. `unreadable` counts objects that
    this version could not read; they were left out.
    """

    seq: int
    part: int
    last: bool
    things: dict[str, list[Any]] = {}
    unreadable: int = 0

    def of(self, noun: Noun[T]) -> list[T]:
        """The objects of a noun."""
        return self.things.get(noun.list_field, [])


class ValuesFrame(Frame, frozen=True):
    """All objects of some nouns that this reader may see, as they are now: they replace those of these nouns that were
    known before. It follows the missed events where those that only refresh such objects are left out.

    `things` and `unreadable` are as in an inventory. It has no sequence number.
    """

    things: dict[str, list[Any]] = {}
    unreadable: int = 0


class Event(Frame, frozen=True):
    """A change of its target. `unlogged`: the database is unavailable, so the event has no number of its own; `seq` is
    the last assigned one, and the change is published again with its own number when the database is back."""

    seq: int
    id: str
    type: str
    source: str
    target: Target
    time: Time
    tenant: str | None = None
    priority: Priority = Priority.NORMAL
    value: msgspec.Raw = msgspec.Raw(b"null")
    note: str = ""
    unlogged: bool = False
    before: str | None = None
    after: str | None = None
    """The states before and after, where the event is a change of state of its target; None otherwise."""
    reason: str = ""
    """Why the state changed, as a sentence or in libvirt's words; empty where nothing is known."""
    actor: str = ""
    """The user whose operation this is, or was running on the target."""

    def decoded(self, nouns: Nouns = NOUNS) -> Any:
        """The value as its noun's struct; None when the target was deleted or its type is unknown here.

        Raises msgspec.ValidationError for a malformed value.
        """
        noun = nouns.of_type(self.target.type)
        if noun is None or bytes(self.value) == b"null":
            return None
        return msgspec.json.decode(self.value, type=noun.struct)


class SamplesFrame(Frame, frozen=True):
    """The newest samples of one host and of its requested VMs, by id. Has no sequence number: a newer frame replaces
    an unsent one. One round may be split over several frames; a VM missing from a frame is unchanged."""

    time: Time
    host: str
    vms: dict[str, VMSample] = {}
    hosts: dict[str, HostSample] = {}
    tiers: dict[str, TierSample] = {}
    """Of all hosts together, by name; only where they were requested."""
    heat: dict[str, HeatSample] = {}
    """Of volumes of all hosts, by id: those whose heat has changed; only where it was requested. Such a frame is never
    replaced by a newer one."""


class GoneFrame(Frame, frozen=True):
    """The events after the requested number are no longer available; an inventory follows."""

    after: int


class Heartbeat(Frame, frozen=True):
    """Sent when no other frame was sent for a while, and at once when the state of the server changes (see Hello)."""

    seq: int
    server_time: Time
    database_away_since: Time | None = None
    degraded: list[str] = []


class Pong(Frame, frozen=True):
    id: str = ""


class Subscribed(Frame, frozen=True):
    pass


class Unsubscribed(Frame, frozen=True):
    pass


class ProblemFrame(Frame, frozen=True):
    problem: Problem


ServerFrame = (
    Hello
    | InventoryFrame
    | ValuesFrame
    | Event
    | SamplesFrame
    | GoneFrame
    | Heartbeat
    | Pong
    | Subscribed
    | Unsubscribed
    | ProblemFrame
)

_FRAME = msgspec.json.Decoder(ServerFrame)
_INVENTORY = b'{"frame":"inventory"'


def encode_inventory(frame: InventoryFrame) -> bytes:
    """An inventory frame as it is on the wire."""
    return inventory_text(frame.seq, frame.part, frame.last, frame.things)


def inventory_text(seq: int, part: int, last: bool, things: Mapping[str, Any]) -> bytes:
    """An inventory frame of things that may be encoded already (`msgspec.Raw`)."""
    return msgspec.json.encode({"frame": "inventory", "seq": seq, "part": part, "last": last, **things})


def values_text(things: Mapping[str, Any]) -> bytes:
    """A values frame as it is on the wire."""
    return msgspec.json.encode({"frame": "values", **things})


def decode_frame(text: str | bytes, nouns: Nouns = NOUNS) -> ServerFrame | None:
    """A frame, None for a kind of frame that this version does not know.

    An object of an inventory that cannot be read is left out and counted: it must not cost the others. Raises
    msgspec.ValidationError for a malformed frame, msgspec.DecodeError for what is not JSON, RecursionError for what is
    nested too deeply.
    """
    raw = text.encode() if isinstance(text, str) else text
    if raw.startswith(_INVENTORY):
        return _decode_things(raw, InventoryFrame, nouns)
    try:
        frame: ServerFrame = _FRAME.decode(raw)
    except msgspec.ValidationError as e:
        if is_of_unknown_kind(e, "frame"):
            return None
        raise
    return _decode_things(raw, type(frame), nouns) if isinstance(frame, InventoryFrame | ValuesFrame) else frame


ThingsFrame = TypeVar("ThingsFrame", bound=InventoryFrame | ValuesFrame)


def _decode_things(raw: bytes, kind: type[ThingsFrame], nouns: Nouns) -> ThingsFrame:
    head = msgspec.json.decode(raw, type=kind)
    things: dict[str, list[Any]] = {}
    unreadable = 0
    for field, value in msgspec.json.decode(raw, type=dict[str, msgspec.Raw]).items():
        if (noun := nouns.of_field(field)) is not None:
            things[field], failed = _decode_list(value, noun)
            unreadable += failed
    return msgspec.structs.replace(head, things=things, unreadable=unreadable)


def _decode_list(value: msgspec.Raw, noun: Noun[T]) -> tuple[list[T], int]:
    """The objects that can be read, and how many cannot."""
    try:
        return msgspec.json.decode(value, type=list[noun.struct]), 0  # type: ignore[name-defined]
    except (msgspec.ValidationError, RecursionError):
        found: list[T] = []
        items = msgspec.json.decode(value, type=list[msgspec.Raw])
        for item in items:
            with suppress(msgspec.ValidationError, RecursionError):
                found.append(msgspec.json.decode(item, type=noun.struct))
        return found, len(items) - len(found)


Words = Annotated[list[Annotated[str, Meta(max_length=128)]], Meta(max_length=100)]
Ids = Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(max_length=200)]


class Filters(Request, frozen=True):
    """An empty list matches everything. `types` may end in `*`: `vm.*`."""

    types: Words = []
    sources: Words = []
    targets: Words = []
    priorities: Annotated[list[Priority], Meta(max_length=4)] = []


class SampleRequest(Request, frozen=True):
    """Requests samples of VMs, at most one per `interval_s`; hosts are always included. `targets` is a list of VM ids
    (empty: hosts only), `*` for all visible VMs, or filter text."""

    targets: Ids | Annotated[str, Meta(max_length=500)] = "*"
    interval_s: Annotated[float, Meta(ge=1, le=3600)] = 5.0
    tiers: bool = False
    """Whether samples of tiers come along."""
    heat: bool = False
    """Whether the heat of volumes comes along; only where `Hello.heat` says that it may."""


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="frame", tag=str.lower, forbid_unknown_fields=True):
    """A message from the client."""


class Subscribe(Message, frozen=True):
    """Replaces an earlier subscription. Without `samples` no samples are sent."""

    filters: Filters = Filters()
    samples: SampleRequest | None = None


class Unsubscribe(Message, frozen=True):
    pass


class Ping(Message, frozen=True):
    id: Annotated[str, Meta(max_length=64)] = ""


ClientMessage = Subscribe | Unsubscribe | Ping


class StreamQuery(Request, frozen=True):
    after: Annotated[int, Meta(ge=0)] | None = None
    ticket: Annotated[str, Meta(max_length=128)] | None = None


STREAM = endpoint(
    "GET /ws/events/v1",
    Nothing,
    P.EVENT_READ,
    query=StreamQuery,
    kind="socket",
    summary="Event stream (WebSocket)",
)
