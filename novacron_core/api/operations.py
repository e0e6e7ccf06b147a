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

    @property
    def ended(self) -> bool:
        return self not in (OperationState.PENDING, OperationState.RUNNING)


class Target(Value, frozen=True):
    """The object of an operation or event. `type` is a noun: vm, volume, host, operation …"""

    type: str
    id: str
    name: str = ""


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


LIST = endpoint(
    "GET /api/operations", Page[Operation], P.OPERATION_READ, query=ListQuery, summary="List operations, newest first"
)
GET = endpoint("GET /api/operations/{operation_id}", Operation, P.OPERATION_READ, summary="Get an operation")
CANCEL = endpoint(
    "POST /api/operations/{operation_id}/cancel",
    Operation,
    P.OPERATION_CHANGE,
    status=202,
    summary="Cancel an operation",
)
