"""The serial console of a VM, as a WebSocket.

Binary frames are bytes of the serial line, in both directions. Text frames are JSON and tell who types, whether the line
is open, and what was left out; `frame` is their tag.

All followers of a VM share one stream, whose bytes are counted: `at` is the number of the next byte that the follower
gets. A follower that reconnects gives the `stream` and the number of the next byte that it wants, and gets the rest.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from novacron_core.api.base import Nothing, Request, is_of_unknown_kind
from novacron_core.api.endpoint import endpoint
from novacron_core.api.problem import Problem
from novacron_core.values.open_enum import OpenEnum
from novacron_core.values.roles import Permission as P

MAX_INPUT_BYTES = 16 * 1024
"""The largest frame that a client may send."""
INPUT_WINDOW_BYTES = 32 * 1024
MAX_OUTPUT_BYTES = 32 * 1024
"""The largest binary frame that a server sends."""
CONSOLE_HEARTBEAT_S = 20.0
CLOSE_IDLE = 4010
"""Nothing was typed and nothing was printed for hours."""
CLOSE_GONE = 4404
"""The VM was deleted, or belongs to somebody else now."""
CLOSE_REPLACED = 4409
"""The same follower has connected again."""


class LineState(OpenEnum):
    """Whether the serial line is open. `off`: the VM does not run. `held`: another program has the console. `unavailable`:
    the VM's host does not respond. `none`: the VM has no serial port. All but `none` end by themselves."""

    OPENING = "opening"
    OPEN = "open"
    OFF = "off"
    HELD = "held"
    UNAVAILABLE = "unavailable"
    NONE = "none"


def _tag(name: str) -> str:
    return name.removesuffix("Frame").removeprefix("Console").lower()


class ConsoleFrame(msgspec.Struct, frozen=True, kw_only=True, tag_field="frame", tag=_tag):
    """A text frame from the server."""


class Writer(msgspec.Struct, frozen=True, kw_only=True):
    """Who types. `follower` is the number of its connection; one user may have several."""

    name: str
    follower: str


class ConsoleHello(ConsoleFrame, frozen=True):
    """The first frame. `follower` is the number of this connection, which continues it when it reconnects. What comes
    before byte `end` was printed earlier: a terminal must not answer what the guest asked then."""

    protocol: int
    version: str
    vm: str
    stream: str
    at: int
    end: int
    follower: str
    state: LineState
    detail: str = ""
    writer: Writer | None = None
    followers: int = 1
    """How many follow this console now, this one among them."""


class ConsoleLine(ConsoleFrame, frozen=True):
    """The state of the serial line has changed; `detail` says why, as a sentence."""

    state: LineState
    detail: str = ""


class ConsoleWriter(ConsoleFrame, frozen=True):
    """Who types now; None: nobody, and the first to type does. `taken_by` is who took it over from `taken_from`."""

    writer: Writer | None = None
    taken_by: str = ""
    taken_from: str = ""
    followers: int = 1


class ConsoleSkipped(ConsoleFrame, frozen=True):
    """This many bytes were left out, because they came faster than this follower reads them; `at` is the next one."""

    bytes: int
    at: int


class ConsoleTyped(ConsoleFrame, frozen=True):
    """So many of the bytes that this client has sent are done with: the guest has them, or, `lost` of them, they were
    refused. A client sends no more than `INPUT_WINDOW_BYTES` ahead of this; what it sends beyond is refused."""

    bytes: int
    lost: int = 0


class ConsoleBeat(ConsoleFrame, frozen=True):
    """Sent when nothing else was for a while. `at` is the number of the next byte."""

    at: int


class ConsoleProblem(ConsoleFrame, frozen=True):
    """What the client asked for was refused. The connection stays.

    `lost` are typed bytes that do not reach the guest. Of a text of which a part is lost the rest would be another text: so
    everything typed after it is refused too, until the client sends TypeOn.
    """

    problem: Problem
    lost: int = 0


ConsoleServerFrame = (
    ConsoleHello | ConsoleLine | ConsoleWriter | ConsoleSkipped | ConsoleTyped | ConsoleBeat | ConsoleProblem
)


class ConsoleMessage(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="frame", tag=str.lower, forbid_unknown_fields=True
):
    """A text frame from the client."""


class Take(ConsoleMessage, frozen=True):
    """Type from now on, instead of the follower `from_`; empty: only if nobody types. Refused when another types than the
    client believes."""

    from_: Annotated[str, Meta(max_length=64)] = msgspec.field(default="", name="from")


class Release(ConsoleMessage, frozen=True):
    """Type no longer."""


class Force(ConsoleMessage, frozen=True):
    """Open the line although another program, such as virsh, holds it: that program loses it."""


class TypeOn(ConsoleMessage, frozen=True):
    """The client knows that typed bytes were lost: what comes after this is typed again."""


class Ack(ConsoleMessage, frozen=True):
    """Everything before byte `at` was processed. Needed only with a `window`."""

    at: Annotated[int, Meta(ge=0)]


ConsoleClientMessage = Take | Release | Force | TypeOn | Ack


class ConsoleQuery(Request, frozen=True):
    """`write`: type, if nobody else does. `stream`, `after` and `follower` continue an earlier connection; a new one
    begins with the last `tail` bytes. With a `window`, so many bytes are sent ahead of what the client confirms by Ack: on
    a slow line that keeps the echo of a key near. 0: as many as the line takes."""

    write: bool = True
    tail: Annotated[int, Meta(ge=0, le=256 * 1024)] = 64 * 1024
    window: Annotated[int, Meta(ge=0, le=1024 * 1024)] = 0
    stream: Annotated[str, Meta(max_length=64)] = ""
    after: Annotated[int, Meta(ge=0)] = 0
    follower: Annotated[str, Meta(max_length=64)] = ""
    ticket: Annotated[str, Meta(max_length=128)] | None = None


CONSOLE = endpoint(
    "GET /api/vm/vms/{vm_id}/console",
    Nothing,
    P.VM_CONSOLE,
    query=ConsoleQuery,
    kind="socket",
    summary="Serial console of a VM (WebSocket)",
)

_FRAME = msgspec.json.Decoder(ConsoleServerFrame)


def decode_console_frame(text: str | bytes) -> ConsoleServerFrame | None:
    """A text frame of a server; None for a kind that this version does not know. Raises msgspec.DecodeError, and
    msgspec.ValidationError for a malformed one."""
    try:
        frame: ConsoleServerFrame = _FRAME.decode(text)
    except msgspec.ValidationError as e:
        if is_of_unknown_kind(e, "frame"):
            return None
        raise
    return frame
