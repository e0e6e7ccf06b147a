"""Entries before they are written: an `AuditDraft` has no number, time and hash yet."""

from __future__ import annotations

import re
from datetime import datetime

import msgspec

from novacron_core import errors
from novacron_core.api.audit import INSTALLATION, AuditResult
from novacron_core.api.endpoint import Endpoint, Method
from novacron_core.api.operations import Target
from novacron_core.rules.visibility import SHARED, Principal
from novacron_server.http.asked import Asked, current

_VERBS = {
    Method.GET: "read",
    Method.POST: "create",
    Method.PUT: "set",
    Method.PATCH: "update",
    Method.DELETE: "delete",
}
_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_NAMED = {
    "POST /auth/login": "sign-in",
    "POST /auth/logout": "sign-out",
    "access.signed_in": "sign-in",
    "access.signed_out": "sign-out",
}
"""Endpoints and events that are one action. The others are named by their path or type."""


class Actor(msgspec.Struct, frozen=True):
    """Who acts, as what role, from where. All are empty for a stranger, and `role` where it does not matter."""

    id: str = ""
    name: str = ""
    role: str = ""
    address: str = ""
    session_id: str = ""
    token: str = ""
    request_id: str = ""


class AuditDraft(msgspec.Struct, frozen=True, kw_only=True):
    """An entry that is yet to be written. `time` is that of writing when it is None. See AuditEntry."""

    tenant: str
    action: str
    target: Target
    result: AuditResult
    actor: Actor
    status: int = 0
    code: str = ""
    detail: str = ""
    times: int = 1
    time: datetime | None = None


def acting(principal: Principal | None = None) -> Actor:
    """Who acts: `principal`, default: the caller of the request in whose context this runs.

    What is known only of the request (its address, its id) is added where it is this caller's.
    """
    asked = current() or Asked()
    if principal is None or (asked.who is not None and asked.who.user_id == principal.user_id):
        return acting_in(asked)
    return acting_in(Asked(who=principal))


def acting_in(asked: Asked) -> Actor:
    """Who sends a request."""
    who = asked.who
    return Actor(
        id=who.user_id if who else "",
        name=who.username if who else "",
        role=str(who.role) if who else "",
        address=asked.address,
        session_id=who.session_id if who else "",
        token=who.token if who else "",
        request_id=asked.request_id,
    )


def chain_of(tenant: str | None) -> str:
    """The chain that records what happens to a resource of a tenant (None: unmanaged)."""
    return INSTALLATION if tenant in (None, SHARED) else str(tenant)


def event_action(event_type: str) -> str:
    """The action of an event about access: `access.signed_in` is `sign-in`."""
    return _NAMED.get(event_type, event_type)


def action_of(endpoint: Endpoint[object]) -> str:
    """The action of a request: `POST /api/vm/vms/{vm_id}/stop` is `vm.stop`, `DELETE /api/vm/vms/{vm_id}` `vm.delete`."""
    if endpoint.key in _NAMED:
        return _NAMED[endpoint.key]
    parts = [part for part in endpoint.path.split("/") if part]
    places = [at for at, part in enumerate(parts) if part.startswith("{")]
    at = places[-1] if places else len(parts)
    noun, tail = _singular(parts[at - 1]), parts[at + 1 :]
    verb = "upload" if endpoint.kind == "upload" else _VERBS[endpoint.method]
    if not tail:
        return f"{noun}.{verb}"
    word = "-".join(tail)
    return f"{noun}.{word}" if endpoint.method in (Method.POST, Method.PUT) else f"{noun}.{word}-{verb}"


def target_of(asked: Asked) -> Target:
    """What a request is about, by the last placeholder of its path: `{vm_id}` is a VM. Foreign and missing ids alike.

    What has not the form of an id or name is left out: it may be a password or token that was pasted there.
    """
    if asked.endpoint is None:
        return Target(type="", id="")
    if not asked.path:
        return Target(type=action_of(asked.endpoint).partition(".")[0], id="")
    name = re.findall(r"{(\w+)}", asked.endpoint.path)[-1]
    is_id = name.endswith("id")
    kind = name[: -len("_id")] if name.endswith("_id") else action_of(asked.endpoint).partition(".")[0]
    value = str(asked.path.get(name, ""))
    if not (_ID if is_id else _NAME).fullmatch(value):
        return Target(type=kind, id="", name="(malformed)")
    return Target(type=kind, id=value, name="" if is_id else value)


def refusal(asked: Asked, error: errors.NovaCronError, actor: Actor, tenant: str) -> AuditDraft:
    """The entry of a refused request, also of one that was refused before its endpoint was known."""
    return AuditDraft(
        tenant=tenant,
        action=action_of(asked.endpoint) if asked.endpoint is not None else "request",
        target=target_of(asked),
        result=AuditResult.REFUSED,
        actor=actor,
        status=error.status,
        code=error.code,
        detail=error.detail,
        time=asked.at,
    )


def _singular(noun: str) -> str:
    return noun[:-1] if noun.endswith("s") else noun
