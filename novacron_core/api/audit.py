"""The audit log: who did what, as what role, from where, on what, with what result. It is a chain of hashes per tenant."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from novacron_core.api.base import Page, Request, Time, Value
from novacron_core.api.endpoint import endpoint
from novacron_core.api.operations import Target
from novacron_core.values.open_enum import OpenEnum
from novacron_core.values.roles import Permission as P

INSTALLATION = ""
"""The chain of what belongs to no tenant: images, unmanaged VMs, and requests of strangers."""


class AuditResult(OpenEnum):
    """`accepted` work has an operation, which says how it ended. `failed` is a sign-in."""

    DONE = "done"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    FAILED = "failed"


class AuditEntry(Value, frozen=True):
    """`seq` counts from 1 in the chain of `tenant`. `token` is the name of the API token, empty for a session.

    `action` is like `vm.stop`, `sign-in` or `access.role_changed`. `times` is how many equal requests the entry stands
    for; `time` is that of the first. `status` and `code` are those of a refusal. `hash` is that of the entry (SHA-256, hex)
    and `previous` that of the one before, which it covers; empty where retention has deleted that one.
    """

    tenant: str
    seq: int
    time: Time
    action: str
    target: Target
    result: AuditResult
    actor_id: str = ""
    actor: str = ""
    role: str = ""
    address: str = ""
    session_id: str = ""
    token: str = ""
    status: int = 0
    code: str = ""
    request_id: str = ""
    detail: str = ""
    times: int = 1
    hash: str = ""
    previous: str = ""


class AuditQuery(Request, frozen=True, rename={"from_": "from"}):
    """`q` is filter text (`rules.filters.audit`); `from` is included, `to` is not."""

    q: Annotated[str, Meta(max_length=500)] = ""
    from_: Time | None = None
    to: Time | None = None
    page: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    page_size: Annotated[int, Meta(ge=1, le=1000)] = 50


class ChainQuery(Request, frozen=True):
    """`tenant` chooses one chain, empty for that of the installation; default: all that the caller may read.

    `after` is the `next` of the last answer: long chains are read in parts.
    """

    tenant: Annotated[str, Meta(max_length=64)] | None = None
    after: Annotated[str, Meta(max_length=1024)] = ""


class ChainCheck(Value, frozen=True):
    """What was found in a chain, or in the part of it that was read. `first` and `last` are 0 when it has no entries.

    `bad_seq` is the first entry that is not as it was written, None when there is none, and `reason` is why. `pruned` is
    the last entry that retention has deleted, 0 for none. `head` is the last entry that is signed, with its hash, 0 for
    none.
    """

    tenant: str
    entries: int
    first: int = 0
    last: int = 0
    pruned: int = 0
    bad_seq: int | None = None
    reason: str = ""
    head: int = 0
    head_hash: str = ""


class AuditCheck(Value, frozen=True):
    """`next` is the `after` of the next part, empty when all chains were read."""

    chains: list[ChainCheck]
    next: str = ""


LIST = endpoint(
    "GET /api/admin/audit", Page[AuditEntry], P.AUDIT_READ, query=AuditQuery, summary="List the audit log, newest first"
)
VERIFY = endpoint(
    "GET /api/admin/audit/verify",
    AuditCheck,
    P.AUDIT_READ,
    query=ChainQuery,
    summary="Verify that no entry of the audit log was changed, moved or deleted",
)
EXPORT = endpoint(
    "GET /api/admin/audit/export",
    bytes,
    P.AUDIT_READ,
    query=ChainQuery,
    kind="bytes",
    summary="Export the audit log with its signed heads, as JSON lines",
)
