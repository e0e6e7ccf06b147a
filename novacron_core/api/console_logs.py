"""The log of a VM's first serial port: what its firmware, its kernel and its getty have printed since it was made."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from novacron_core.api.base import Request, Time, Value
from novacron_core.api.endpoint import endpoint
from novacron_core.api.operations import Operation
from novacron_core.values.roles import Permission as P

MAX_BYTES = 1 << 20
"""The most that one answer holds, in bytes of the log."""


class ConsoleLog(Value, frozen=True):
    """A piece of a VM's console log.

    `text` holds what the guest has printed, escape sequences and control characters too: the client passes it on as it
    is, so show it only made safe (`novacron_tui/terminal/printed.py`). Bytes that are no UTF-8 are U+FFFD. `next` asks for what follows (`from`); `more`:
    there is more already. `size_bytes` is how much the host keeps, `at` when the guest printed last.
    """

    text: str = ""
    next: str = ""
    begins_at_boot: bool = False
    """`text` begins where the guest has booted last."""
    skipped_bytes: int | None = 0
    """How many bytes before `text` were left out, or are gone since `from`; None: gone, and unknown how many."""
    more: bool = False
    size_bytes: int = 0
    at: Time | None = None
    recorded: bool = False
    """The serial port is logged. If not, `note` says why."""
    may_set_up: bool = False
    """`set-up` can add a serial port, or its log."""
    note: str = ""
    """A sentence for operators, empty if there is nothing to say."""


class ConsoleLogQuery(Request, frozen=True, rename={"from_": "from"}):
    """Where to begin: after the last answer (`from` is its `next`), else with the last boot or with all that is kept.

    `tail` begins so many bytes before the end instead, but not before that.
    """

    boot: Literal["last", "all"] = "all"
    from_: Annotated[str, Meta(pattern=r"\A([0-9a-f]{1,16}-[0-9a-f]{1,16}-[0-9a-f]{16})?\Z", max_length=64)] = ""
    bytes: Annotated[int, Meta(ge=4, le=MAX_BYTES)] = MAX_BYTES
    tail: Annotated[int, Meta(ge=1, le=MAX_BYTES)] | None = None


READ = endpoint(
    "GET /api/vm/vms/{vm_id}/console/log",
    ConsoleLog,
    P.VM_CONSOLE,
    query=ConsoleLogQuery,
    summary="Read what a VM has printed on its serial console",
    as_sent=True,
)
SET_UP = endpoint(
    "POST /api/vm/vms/{vm_id}/console/set-up",
    Operation,
    P.VM_CHANGE,
    status=202,
    summary="Give a VM a serial console that is logged, from its next start on",
)
