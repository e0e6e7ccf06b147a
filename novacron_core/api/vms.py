"""Virtual machines: their description, creation and actions."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from novacron_core.api.base import ListQuery, Page, Request, Time, Value
from novacron_core.api.endpoint import endpoint
from novacron_core.api.operations import Operation
from novacron_core.api.ownership import Adopt, HandOver
from novacron_core.values.names import IMAGE_NAME_PATTERN, LINES, ONE_LINE, TAG_PATTERN, VM_NAME_PATTERN
from novacron_core.values.open_enum import OpenEnum
from novacron_core.values.roles import Permission as P
from novacron_core.values.sizes import GIB, KIB, MIB, TIB
from novacron_core.values.tiers import TierName


class State(OpenEnum):
    """The states of a VM. `unknown`: its host does not respond; `state_since` is when that began. `crashed`: its QEMU or
    its guest crashed; it stays so until it runs again, is powered off or an operator acknowledges the crash."""

    PROVISIONING = "provisioning"
    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    STOPPED = "stopped"
    SAVED = "saved"
    MIGRATING = "migrating"
    CRASHED = "crashed"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Disk(Value, frozen=True):
    """A disk of a VM. `volume` is the id of the volume, if the disk is a volume of a known pool."""

    target: str
    device: str = "disk"
    bus: str = ""
    format: str = ""
    volume: str | None = None
    source: str = ""
    """For display: pool and volume name, the file name of another disk, or protocol and name of a network disk, with its host
    only for an unmanaged VM."""
    size_bytes: int | None = None
    read_only: bool = False
    tier: str | None = None


class NIC(Value, frozen=True):
    """A network interface. `network` is the name of a libvirt network, or `user` for QEMU user-mode networking."""

    mac: str
    network: str
    model: str = ""
    addresses: list[str] = []


class VM(Value, frozen=True):
    """A virtual machine as visible to the caller.

    `id` is the libvirt UUID. `tenant` and `owner` are None for an unmanaged VM (not created by NovaCron).
    `seen_at` is when its host last reported it: the age of all fields that come from libvirt.
    `generation` counts changes of the definition and the database rows, never of the state.
    `operation_id` names the operation that is running on the VM.
    """

    id: str
    name: str
    host: str
    state: State
    vcpus: int
    memory_bytes: int
    state_since: Time | None = None
    seen_at: Time | None = None
    last_state: State | None = None
    """While the state is `unknown`: the state in which its host reported it last, at `seen_at`."""
    booted_at: Time | None = None
    """When the guest was started or restarted last; None if the server did not see it."""
    preserved: bool = False
    """It has crashed, and libvirt keeps the guest's memory. A crashed VM that is not preserved is off."""
    reason: str = ""
    """libvirt's reason for the state (`shutdown`, `guest kernel panic`, `I/O error`); empty when unremarkable."""
    tenant: str | None = None
    owner: str | None = None
    disks: list[Disk] = []
    nics: list[NIC] = []
    tags: dict[str, str] = {}
    tier: str | None = None
    protected: bool = False
    unmanaged: bool = False
    transient: bool = False
    """libvirt has no definition of it: it disappears when it stops. NovaCron changes nothing of it but its state."""
    guest_agent: bool | None = None
    simulated: bool = False
    virtualization: str = ""
    """`kvm`, `qemu` (emulated) or `test`."""
    description: str = ""
    created_at: Time | None = None
    updated_at: Time | None = None
    generation: int = 0
    operation_id: str | None = None
    duplicate_on: list[str] = []
    """Ids of other hosts that have a VM with the same UUID. Each VM is listed with its own `host` (the `source` of its
    events); none can be changed until the UUIDs differ."""


class Crash(Value, frozen=True):
    """The last crash of a VM that has not run since.

    `at` is None for a crash that happened while no server was running; `found_at` is when a server saw it first. `log`
    are the last lines of QEMU's log, oldest first; `log_note` says why there are none.
    """

    reason: str
    found_at: Time
    at: Time | None = None
    acknowledged_at: Time | None = None
    acknowledged_by: str = ""
    log: list[str] = []
    log_note: str = ""


class VMQuery(ListQuery, frozen=True):
    state: State | None = None
    host: str = ""


class VMCreate(Request, frozen=True):
    """A VM from an image. `disk_bytes` defaults to the size of the image and cannot be smaller."""

    name: Annotated[str, Meta(pattern=VM_NAME_PATTERN, max_length=63)]
    image: Annotated[str, Meta(pattern=IMAGE_NAME_PATTERN, max_length=63)]
    vcpus: Annotated[int, Meta(ge=1, le=512)] = 1
    memory_bytes: Annotated[int, Meta(ge=16 * MIB, le=64 * TIB, multiple_of=KIB)] = GIB // 4
    disk_bytes: Annotated[int, Meta(ge=MIB, le=1024 * TIB)] | None = None
    host: str | None = None
    tier: TierName = "hot"
    network: Annotated[str, Meta(max_length=64)] | None = None
    """Name of a libvirt network, or `user`. None: `default` if it is active, else user-mode networking."""
    tags: Annotated[
        dict[
            Annotated[str, Meta(pattern=TAG_PATTERN, max_length=63)],
            Annotated[str, Meta(pattern=ONE_LINE, max_length=255)],
        ],
        Meta(max_length=32),
    ] = {}
    description: Annotated[str, Meta(pattern=LINES, max_length=1000)] = ""
    start: bool = True


class DeleteQuery(Request, frozen=True):
    """`disks=true` also deletes the VM's own disks."""

    disks: bool = False


class StopQuery(Request, frozen=True):
    """`force_after_s`: power off when the guest has not shut down after this many seconds."""

    force_after_s: Annotated[int, Meta(ge=1, le=3600)] | None = None


MAX_BULK = 5000
"""VMs in one bulk: the largest fleet that one request may change."""
BulkAction = Literal[
    "start",
    "stop",
    "restart",
    "reset",
    "power-off",
    "pause",
    "resume",
    "discard-saved",
    "acknowledge",
    "hand-over",
    "delete",
]


class BulkOptions(Request, frozen=True):
    """`force_after_s` is for `stop` (see StopQuery), `disks` for `delete` (see DeleteQuery), `owner` and `tenant` for
    `hand-over` (see HandOver)."""

    force_after_s: Annotated[int, Meta(ge=1, le=3600)] | None = None
    disks: bool = False
    owner: Annotated[str, Meta(max_length=32)] | None = None
    tenant: Annotated[str, Meta(max_length=64)] | None = None


class BulkRequest(Request, frozen=True):
    """One action on many VMs: those with these `ids`, or all that match the filter `q`.

    `count` belongs to `q`: the number of VMs that the caller has seen. Another number is refused with 409.
    """

    action: BulkAction
    ids: (
        Annotated[list[Annotated[str, Meta(min_length=1, max_length=64)]], Meta(min_length=1, max_length=MAX_BULK)]
        | None
    ) = None
    q: Annotated[str, Meta(max_length=500)] | None = None
    count: Annotated[int, Meta(ge=0)] | None = None
    options: BulkOptions = BulkOptions()


_BASE = "/api/vm/vms"
LIST = endpoint(f"GET {_BASE}", Page[VM], P.VM_READ, query=VMQuery, summary="List VMs")
CREATE = endpoint(
    f"POST {_BASE}", Operation, P.VM_CHANGE, takes=VMCreate, status=202, summary="Create a VM from an image"
)
GET = endpoint(f"GET {_BASE}/{{vm_id}}", VM, P.VM_READ, summary="Get a VM")
DELETE = endpoint(
    f"DELETE {_BASE}/{{vm_id}}", Operation, P.VM_CHANGE, query=DeleteQuery, status=202, summary="Delete a VM"
)
HAND_OVER = endpoint(
    f"POST {_BASE}/{{vm_id}}/hand-over",
    Operation,
    P.VM_CHANGE,
    takes=HandOver,
    status=202,
    summary="Give a VM and its disks another owner, or another tenant",
)
ADOPT = endpoint(
    f"POST {_BASE}/{{vm_id}}/adopt",
    Operation,
    P.ACCESS_ADMIN,
    takes=Adopt,
    status=202,
    summary="Take an unmanaged VM and its disks into a tenant",
)
RELEASE = endpoint(
    f"POST {_BASE}/{{vm_id}}/release",
    Operation,
    P.ACCESS_ADMIN,
    status=202,
    summary="Stop managing a VM and its disks: they stay as they are",
)
START = endpoint(f"POST {_BASE}/{{vm_id}}/start", Operation, P.VM_CHANGE, status=202, summary="Start a VM")
STOP = endpoint(
    f"POST {_BASE}/{{vm_id}}/stop",
    Operation,
    P.VM_CHANGE,
    query=StopQuery,
    status=202,
    summary="Ask the guest to shut down",
)
POWER_OFF = endpoint(
    f"POST {_BASE}/{{vm_id}}/power-off", Operation, P.VM_CHANGE, status=202, summary="Power off a VM immediately"
)
RESTART = endpoint(
    f"POST {_BASE}/{{vm_id}}/restart", Operation, P.VM_CHANGE, status=202, summary="Ask the guest to restart"
)
RESET = endpoint(f"POST {_BASE}/{{vm_id}}/reset", Operation, P.VM_CHANGE, status=202, summary="Hard-reset a VM")
PAUSE = endpoint(f"POST {_BASE}/{{vm_id}}/pause", Operation, P.VM_CHANGE, status=202, summary="Pause a VM")
DISCARD_SAVED = endpoint(
    f"POST {_BASE}/{{vm_id}}/discard-saved",
    Operation,
    P.VM_CHANGE,
    status=202,
    summary="Discard a VM's saved memory; it starts afresh then",
)
RESUME = endpoint(f"POST {_BASE}/{{vm_id}}/resume", Operation, P.VM_CHANGE, status=202, summary="Resume a paused VM")
BULK = endpoint(
    f"POST {_BASE}/bulk",
    Operation,
    P.VM_CHANGE,
    takes=BulkRequest,
    status=202,
    summary="Perform one action on many VMs, as one operation",
)
CRASH = endpoint(f"GET {_BASE}/{{vm_id}}/crash", Crash, P.VM_READ, summary="When and why a VM crashed")
ACKNOWLEDGE = endpoint(
    f"POST {_BASE}/{{vm_id}}/acknowledge",
    Operation,
    P.VM_CHANGE,
    status=202,
    summary="Acknowledge a VM's crash; it is shown as stopped then",
)
