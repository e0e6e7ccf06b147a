"""What is asked of the runner, and what makes two requests the same one."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import msgspec

from novacron_core.api.operations import Target
from novacron_core.rules.visibility import Principal


@dataclass(frozen=True, slots=True)
class OperationRequest:
    """What is asked: the kind of work, on what, by whom, and with what words (`body`, kept with the row)."""

    kind: str
    target: Target
    host_id: str
    tenant: str | None
    principal: Principal
    body: dict[str, Any] = field(default_factory=dict)
    idempotency_key: str = ""
    supersedes: Collection[str] = frozenset()
    may_cancel: bool = False
    locks: tuple[Target, ...] = ()
    """What else nobody may touch meanwhile. Volumes: whose target or hold is one waits for its turn."""

    @property
    def hash(self) -> str:
        return fingerprint(self.kind, self.body)


def fingerprint(kind: str, body: dict[str, Any]) -> str:
    """What makes two requests the same one, for an idempotency key."""
    return hashlib.sha256(msgspec.json.encode([kind, body], order="sorted")).hexdigest()
