"""The values with which a service submits an operation after its checks."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol

import msgspec

from novacron_core.api.operations import BulkCounts, Operation, Target
from novacron_core.rules.visibility import Principal
from novacron_server.audit.records import Actor, acting
from novacron_server.database.transactions import Connection
from novacron_server.operations.journal import S
from novacron_server.outbox.records import EventDraft

Rows = Callable[[Connection, Operation], Awaitable[list[EventDraft]]]
"""Writes the rows that belong to an operation, in its transaction, and returns their events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission(Generic[S]):
    """A change that passed its checks. `target` and `locks` are locked while it runs.

    `tenant` is that of the target, None if it belongs to no tenant, and of the volumes among `locks`: refused if one of them
    has gone to another one since. `host_id` is None if it is not about one host.
    `steps` is its first journal. `counts` are those of a bulk.
    """

    target: Target
    host_id: str | None
    tenant: str | None
    steps: S
    rows: Rows | None = None
    locks: tuple[Target, ...] = ()
    counts: BulkCounts | None = None
    vm_tenant: str | None = None
    """That of the target, if it is a VM of another tenant than the volumes."""
    alone: bool = False
    """Whether `rows` writes so many that others' changes should not wait in the same transaction."""


@dataclass(frozen=True, slots=True)
class OperationRequest:
    """A request for an operation. `body` is the request's body; `key` is the idempotency key, empty for none (G2).
    `parent` is the id of the bulk that it is part of, `by` who sent it, for the audit log."""

    kind: str
    principal: Principal
    body: dict[str, Any] = field(default_factory=dict)
    key: str = ""
    parent: str | None = None
    by: Actor = field(default_factory=acting)

    @property
    def hash(self) -> str:
        """Equal for two requests that may share an idempotency key."""
        return hashlib.sha256(msgspec.json.encode([self.kind, self.body], order="sorted")).hexdigest()


class Admission(Protocol):
    """Refuses to a caller that is limited to some VMs what it may not do."""

    def check_kind(self, principal: Principal, kind: str) -> None:
        """Raises Forbidden for a kind of operation that no such caller may begin. It is told nothing before that."""

    async def check(
        self, connection: Connection, request: OperationRequest, operation: Operation, host_id: str | None
    ) -> None:
        """Raises Forbidden, NotFound, in the transaction that accepts the operation, after its rows were written."""


Decide = Callable[[], Awaitable[Submission[Any]]]
"""A service's checks. Returns what to submit, or raises the error that refuses the change."""
