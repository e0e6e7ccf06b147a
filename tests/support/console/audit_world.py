"""A night in the audit log, for the console's tests: the server's side of its list, in pages."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import httpx

from novacron_core.api.audit import AuditCheck, AuditEntry, AuditResult, ChainCheck
from novacron_core.api.base import Page
from novacron_core.api.operations import Target
from novacron_core.rules.filters.audit import audit_fields
from novacron_core.rules.filters.language import compile_filter
from tests.support.console.wire import Wire, ok
from tests.support.console.world import NOW, vm_id

DAY = 400
"""How many sign-ins came before the night."""


def digest(seq: int) -> str:
    return hashlib.sha256(str(seq).encode()).hexdigest()


def entry(seq: int, action: str, minutes: float, **more: object) -> AuditEntry:
    fields: dict[str, object] = {
        "tenant": "default",
        "actor": "ada",
        "actor_id": "p-ada",
        "role": "administrator",
        "address": "192.0.2.10",
        "session_id": "s-1",
        "target": Target(type="vm", id=vm_id(3), name="db-01"),
        "result": AuditResult.ACCEPTED,
        "request_id": f"{seq:08x}c0ffee00",
        "hash": digest(seq),
        "previous": digest(seq - 1) if seq > 1 else "0" * 64,
    }
    return AuditEntry(seq=seq, action=action, time=NOW - timedelta(minutes=minutes), **{**fields, **more})  # type: ignore[arg-type]


def night() -> list[AuditEntry]:
    """Newest first: who stopped db-01, who was refused, who could not sign in, and a day of sign-ins before."""
    eve = {"actor": "eve", "actor_id": "p-eve", "role": "operator", "address": "198.51.100.7", "session_id": "s-9"}
    mallory = Target(type="user", id="p-mallory", name="mallory")
    found = [
        entry(DAY + 7, "access.role_changed", 3, target=Target(type="user", id="p-bob", name="bob"), detail="viewer -> operator"),
        entry(DAY + 6, "vm.start", 31, detail="operation op-2"),
        entry(DAY + 5, "vm.stop", 9 * 60 + 47, **eve, detail="operation op-1"),
        entry(DAY + 4, "vm.delete", 9 * 60 + 48, **eve, result=AuditResult.REFUSED, status=409, code="conflict",
              detail="db-01 is running: shut it down first"),
        entry(DAY + 3, "sign-in", 9 * 60 + 49, **eve, target=Target(type="user", id="p-eve", name="eve"), result=AuditResult.DONE),
        entry(DAY + 2, "sign-in", 9 * 60 + 52, actor="mallory", actor_id="", role="", address="203.0.113.66", session_id="",
              target=mallory, result=AuditResult.FAILED, status=401, code="unauthenticated", times=12,
              detail="wrong user name or password"),
        entry(DAY + 1, "vm.list", 20 * 60, actor="ci", role="viewer", token="nightly", result=AuditResult.REFUSED, status=403,
              code="forbidden", target=Target(type="vm", id=""), detail="this API token is limited"),
    ]  # fmt: skip
    found += [
        entry(
            seq, "sign-in", 30 * 60 + DAY - seq, result=AuditResult.DONE, target=Target(type="user", id="p", name="ada")
        )
        for seq in range(DAY, 0, -1)
    ]
    return found


CHECKED = AuditCheck(
    chains=[
        ChainCheck(tenant="", entries=12, first=1, last=12, head=12, head_hash=digest(12)),
        ChainCheck(tenant="default", entries=DAY + 7, first=1, last=DAY + 7, head=DAY + 7, head_hash=digest(DAY + 7)),
    ]
)


def audit_wire(entries: list[AuditEntry] | None = None, check: AuditCheck = CHECKED) -> Wire:
    """Answers the log as the server does: filtered, in pages."""
    log = night() if entries is None else entries

    def listed(request: httpx.Request) -> httpx.Response:
        asked = request.url.params
        test = compile_filter(asked.get("q", ""), audit_fields(lambda: NOW))
        number, size = int(asked.get("page", "1")), int(asked.get("page_size", "50"))
        found = [each for each in log if test(each)]
        if "from" in asked:
            found = [each for each in found if each.time.isoformat()[:19] >= asked["from"][:19]]
        part = found[(number - 1) * size : number * size]
        return ok(Page(items=part, total=len(found), page=number, page_size=size))

    return Wire(routes={"GET /api/admin/audit": listed, "GET /api/admin/audit/verify": lambda _: ok(check)})
