"""What a service submits once its checks have passed."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic

import msgspec

from novacron_core.api.operations import Operation, Target
from novacron_core.rules.visibility import Principal
from novacron_server.database.transactions import Connection
from novacron_server.operations.journal import S
from novacron_server.outbox.records import EventDraft

Rows = Callable[[Connection, Operation], Awaitable[list[EventDraft]]]
"""Writes what belongs to the operation in its own transaction and returns the events of that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission(Generic[S]):
    """One accepted change. `target` is locked while it runs, and so are `locks`: nothing else happens to them.

    `tenant` is that of the target, None where it belongs to no tenant. `steps` is the journal it begins with.
    """

    target: Target
    host_id: str
    tenant: str | None
    steps: S
    rows: Rows | None = None
    locks: tuple[Target, ...] = ()


@dataclass(frozen=True, slots=True)
class OperationRequest:
    """Who asks, for what kind of operation, in which words. `key` makes a repeated request have one effect."""

    kind: str
    principal: Principal
    body: dict[str, Any] = field(default_factory=dict)
    key: str = ""

    @property
    def hash(self) -> str:
        """What makes two requests the same one, for an idempotency key."""
        return hashlib.sha256(msgspec.json.encode([self.kind, self.body], order="sorted")).hexdigest()


Decide = Callable[[], Awaitable[Submission[Any]]]
"""A service's checks: raises what refuses the change, or returns what to submit."""
