"""Operations: accepted work, from acceptance to its end. Kept for at least 30 days."""

from __future__ import annotations

from novacron_core.api.base import ListQuery, Page, Time, Value
from novacron_core.api.endpoint import endpoint
from novacron_core.api.problem import Problem
from novacron_core.values.open_enum import OpenEnum
from novacron_core.values.roles import Permission as P


class OperationState(OpenEnum):
    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    """The server stopped while it was running; `problem` says what was found afterwards."""
    REFUSED = "refused"
    """Of a bulk: VMs were refused by the rules and not changed, and none failed; `problem` says how many and why. A change
    of one VM that is refused is answered so at once, and is no operation."""

    @property
    def ended(self) -> bool:
        return self not in (OperationState.PENDING, OperationState.RUNNING)


class Target(Value, frozen=True):
    """The object of an operation or event. `type` is a noun: vm, volume, host, operation …"""

    type: str
    id: str
    name: str = ""


class BulkItemState(OpenEnum):
    """The states of one object of a bulk. `refused`: by the rules, so it was not changed."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self not in (BulkItemState.QUEUED, BulkItemState.RUNNING)


class BulkCounts(Value, frozen=True):
    """How many objects of a bulk are in each state."""

    queued: int = 0
    running: int = 0
    succeeded: int = 0
    refused: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def total(self) -> int:
        return self.queued + self.running + self.ended

    @property
    def ended(self) -> int:
        return self.succeeded + self.refused + self.failed + self.cancelled


class BulkItem(Value, frozen=True):
    """One VM of a bulk; a volume, with its id as `vm_id`, where `type` says so. `vm_id` is the id that was requested;
    `host` is None, and `name` is that id, if there is no such VM. `operation_id` is the operation on the VM, once it was accepted. `reason` is a sentence: why it did not succeed, or
    why there was nothing to do."""

    position: int
    vm_id: str
    name: str
    state: BulkItemState
    host: str | None = None
    operation_id: str | None = None
    reason: str = ""
    started_at: Time | None = None
    finished_at: Time | None = None
    type: str = "vm"


class Operation(Value, frozen=True):
    """A unit of accepted work. `progress` is 0..1, None where unknown. `rate` is in bytes per second."""

    id: str
    kind: str
    """Noun and verb: `vm.start`, `vm.create`."""
    target: Target
    state: OperationState
    created_at: Time
    tenant: str | None = None
    actor: str = ""
    step: str = ""
    progress: float | None = None
    rate: float | None = None
    eta_s: float | None = None
    may_cancel: bool = False
    started_at: Time | None = None
    finished_at: Time | None = None
    problem: Problem | None = None
    completed: bool = False
    """The requested change is in effect although the operation did not succeed: its last step failed, or the server was
    stopped. Do not request it again."""
    locks: list[Target] = []
    """Other targets that are locked while it runs, e.g. the volume of a VM's disk."""
    parent: str | None = None
    """The id of the bulk that has submitted it."""
    counts: BulkCounts | None = None
    """Of a bulk: how many of its VMs are in each state."""
    child_kind: str = ""
    """Of a bulk: the kind of the operations that it submits, `vm.stop`."""
    api_token: str = ""
    """The id of the API token that has asked for it, if that is limited to some VMs: it may read what it has begun."""


LIST = endpoint(
    "GET /api/operations",
    Page[Operation],
    P.OPERATION_READ,
    query=ListQuery,
    summary="List operations, newest first; those of a bulk only with a filter",
)
GET = endpoint("GET /api/operations/{operation_id}", Operation, P.OPERATION_READ, summary="Get an operation")
CHILDREN = endpoint(
    "GET /api/operations/{operation_id}/children",
    Page[BulkItem],
    P.OPERATION_READ,
    query=ListQuery,
    summary="List the VMs of a bulk with their results, those that need attention first",
)
CANCEL = endpoint(
    "POST /api/operations/{operation_id}/cancel",
    Operation,
    P.OPERATION_CHANGE,
    status=202,
    summary="Cancel an operation",
)
