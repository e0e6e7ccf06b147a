"""Volumes: attached and unattached disks."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from novacron_core.api.base import ListQuery, Page, Request, Time, Value
from novacron_core.api.endpoint import endpoint
from novacron_core.api.operations import Operation, OperationState
from novacron_core.api.ownership import HandOver
from novacron_core.values.names import VOLUME_NAME_PATTERN
from novacron_core.values.roles import Permission as P
from novacron_core.values.sizes import KIB, MIB, TIB
from novacron_core.values.tiers import TierName

HIDDEN_VM = "hidden"


class Volume(Value, frozen=True):
    """A storage volume. `vm` is the id of the VM that uses it, HIDDEN_VM if the reader may not see that one;
    `allocated_bytes` is the space used on disk now.

    `tier` is the tier of its pool. `role` is its use in the VM: `disk`, `kernel`, `initrd` or `backing file`.
    `backing_file` is the backing file of an overlay, else empty. `note` is what is odd about its file, as a sentence.
    `unmanaged`: not created by NovaCron. `operation_id` names the operation that is running on the volume.
    """

    id: str
    name: str
    size_bytes: int
    allocated_bytes: int
    format: str
    pool: str
    host: str
    tier: str | None = None
    vm: str | None = None
    role: str = ""
    backing_file: str = ""
    note: str = ""
    unmanaged: bool = False
    simulated: bool = False
    operation_id: str | None = None
    tenant: str | None = None
    owner: str | None = None
    created_at: Time | None = None
    seen_at: Time | None = None
    pinned: bool = False
    """Whether it stays in its tier, whatever the advice."""
    together: bool = False
    """Whether it moves only with those other disks of its VM that do."""
    dismissed_until: Time | None = None
    """Until when no advice is given about it."""
    dismissed_reason: str = ""


Size = Annotated[int, Meta(ge=MIB, le=1024 * TIB)]
Name = Annotated[str, Meta(pattern=VOLUME_NAME_PATTERN, max_length=63)]


class VolumeCreate(Request, frozen=True):
    """An empty, thin-provisioned volume. Without `pool` (an id), the pool of the tier with the most free space is
    used."""

    name: Name
    size_bytes: Size
    tier: TierName = "hot"
    pool: Annotated[str, Meta(max_length=64)] | None = None
    format: Literal["qcow2", "raw"] = "qcow2"
    host: str | None = None


class VolumeResize(Request, frozen=True):
    """The new size; a volume cannot shrink."""

    size_bytes: Size


class VolumeClone(Request, frozen=True):
    """A full copy, verified against its source. It is in the same tier unless `tier` is given."""

    name: Name
    tier: TierName | None = None


class VolumeAttach(Request, frozen=True):
    """`vm` is the VM's id."""

    vm: Annotated[str, Meta(max_length=64)]
    read_only: bool = False


class VolumeMove(Request, frozen=True):
    """`bandwidth_bytes_s` limits the copy rate; None: unlimited."""

    tier: TierName
    bandwidth_bytes_s: Annotated[int, Meta(ge=64 * KIB, le=TIB)] | None = None


class DeletionPreview(Value, frozen=True):
    """The effect of deleting a volume. `refused` says why it cannot be deleted now, empty when it can."""

    volume: Volume
    frees_bytes: int
    used_by: list[str] = []
    """Names of VMs that have it as a disk."""
    overlays: list[str] = []
    """Volumes whose backing file it is."""
    refused: str = ""


class PastMove(Value, frozen=True, kw_only=True):
    """A move between tiers: its operation and where it went. `moved`: it is in effect, also where the operation did not
    succeed. `finished_at` is null while it runs; `reason` is a sentence: why it did not succeed."""

    operation: str
    source: str | None = None
    target: str
    state: OperationState
    moved: bool
    actor: str = ""
    started_at: Time
    finished_at: Time | None = None
    reason: str = ""


class MoveHistory(Value, frozen=True):
    """The moves of a volume, newest first: at most 50, as long as operations are kept."""

    moves: list[PastMove]


_BASE = "/api/storage/volumes"
_ONE = f"{_BASE}/{{volume_id}}"
LIST = endpoint(f"GET {_BASE}", Page[Volume], P.VOLUME_READ, query=ListQuery, summary="List volumes")
GET = endpoint(f"GET {_ONE}", Volume, P.VOLUME_READ, summary="Get a volume")
CREATE = endpoint(
    f"POST {_BASE}", Operation, P.VOLUME_CHANGE, takes=VolumeCreate, status=202, summary="Create an empty volume"
)
RESIZE = endpoint(
    f"POST {_ONE}/resize", Operation, P.VOLUME_CHANGE, takes=VolumeResize, status=202, summary="Grow a volume"
)
CLONE = endpoint(
    f"POST {_ONE}/clone", Operation, P.VOLUME_CHANGE, takes=VolumeClone, status=202, summary="Copy a volume"
)
ATTACH = endpoint(
    f"POST {_ONE}/attach", Operation, P.VOLUME_CHANGE, takes=VolumeAttach, status=202, summary="Attach a volume to a VM"
)
DETACH = endpoint(f"POST {_ONE}/detach", Operation, P.VOLUME_CHANGE, status=202, summary="Detach a volume from its VM")
DELETION = endpoint(f"GET {_ONE}/deletion", DeletionPreview, P.VOLUME_READ, summary="Preview the deletion of a volume")
DELETE = endpoint(f"DELETE {_ONE}", Operation, P.VOLUME_CHANGE, status=202, summary="Delete a volume")
HAND_OVER = endpoint(
    f"POST {_ONE}/hand-over",
    Operation,
    P.VOLUME_CHANGE,
    takes=HandOver,
    status=202,
    summary="Give a volume another owner, or another tenant",
)
MOVES = endpoint(f"GET {_ONE}/moves", MoveHistory, P.VOLUME_READ, summary="List the moves of a volume between tiers")
MOVE = endpoint(
    f"PUT {_ONE}/tier", Operation, P.VOLUME_CHANGE, takes=VolumeMove, status=202, summary="Move a volume to a tier"
)
