"""The event stream: frames from the server, messages to it. One JSON value per WebSocket text frame.

`frame` is the tag of the union. The `value` of an event is the complete new value of its target (None: deleted), so
applying an event twice is harmless. `seq` increases strictly but may have gaps.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from novacron_core.api.base import Nothing, Request
from novacron_core.api.endpoint import endpoint
from novacron_core.api.hosts import Host
from novacron_core.api.operations import Operation, Target
from novacron_core.api.pools import Pool
from novacron_core.api.problem import Problem
from novacron_core.api.samples import HostSample, VMSample
from novacron_core.api.tiers import Tier
from novacron_core.api.vms import VM
from novacron_core.api.volumes import Volume
from novacron_core.values.open_enum import OpenEnum
from novacron_core.values.roles import Permission as P

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


class Frame(msgspec.Struct, frozen=True, kw_only=True, tag_field="frame", tag=_frame_tag):
    """A frame from the server."""


class Hello(Frame, frozen=True):
    protocol: int
    version: str
    session: str
    server_time: datetime
    database_away_since: datetime | None = None
    """Since when the database is unavailable: changes are refused, rows are of that time. None: it is available."""
    samples: bool = False
    """Whether this server sends samples on request."""


class InventoryFrame(Frame, frozen=True):
    """One part of the inventory visible to this client, as of `seq`. All parts together replace the previous state."""

    seq: int
    part: int
    last: bool
    vms: list[VM] = []
    hosts: list[Host] = []
    volumes: list[Volume] = []
    pools: list[Pool] = []
    tiers: list[Tier] = []
    operations: list[Operation] = []


class Event(Frame, frozen=True):
    """A change of its target. `unlogged`: the database is unavailable, so the event has no number of its own; `seq` is
    the last assigned one, and the change is published again with its own number when the database is back."""

    seq: int
    id: str
    type: str
    source: str
    target: Target
    time: datetime
    tenant: str | None = None
    priority: Priority = Priority.NORMAL
    value: msgspec.Raw = msgspec.Raw(b"null")
    note: str = ""
    unlogged: bool = False

    def decoded(self) -> Any:
        """The value as its struct (see VALUES); None when the target was deleted or its type is unknown here.

        Raises msgspec.ValidationError for a malformed value.
        """
        kind = VALUES.get(self.target.type)
        if kind is None or bytes(self.value) == b"null":
            return None
        return msgspec.json.decode(self.value, type=kind)


class SamplesFrame(Frame, frozen=True):
    """The newest samples of one host and of its requested VMs, by id. Has no sequence number: a newer frame replaces
    an unsent one. One round may be split over several frames; a VM missing from a frame is unchanged."""

    time: datetime
    host: str
    vms: dict[str, VMSample] = {}
    hosts: dict[str, HostSample] = {}


class GoneFrame(Frame, frozen=True):
    """The events after the requested number are no longer available; an inventory follows."""

    after: int


class Heartbeat(Frame, frozen=True):
    """Sent when no other frame was sent for a while, and at once when database availability changes (see Hello)."""

    seq: int
    server_time: datetime
    database_away_since: datetime | None = None


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
    | Event
    | SamplesFrame
    | GoneFrame
    | Heartbeat
    | Pong
    | Subscribed
    | Unsubscribed
    | ProblemFrame
)

VALUES: dict[str, type] = {
    "vm": VM,
    "host": Host,
    "volume": Volume,
    "pool": Pool,
    "tier": Tier,
    "operation": Operation,
}
"""Target type → struct of the event's value."""

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
