"""The rows of the access matrix: how each endpoint is called, and which ids its body holds.

An endpoint without a row fails the build, so nobody can add one without saying who may reach what through it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from novacron_core.api.endpoint import Endpoint
from novacron_core.values.roles import Permission, Role, allows

MISSING = "00000000-0000-4000-8000-000000000000"
OWN, FOREIGN, UNMANAGED, ABSENT = "own", "foreign", "nobody's", "missing"
STANDINGS = (OWN, FOREIGN, UNMANAGED, ABSENT)
NOT_ALLOWED = frozenset({401, 403, 404})


@dataclass(frozen=True)
class Person:
    """Who calls. `role` is None without a valid token. `hidden` are the kinds of objects of which it sees none, not even
    its own: those of an API token whose filter matches no VM."""

    name: str
    role: Role | None
    tenant: str
    token: str
    scope: frozenset[Permission] | None = None
    hidden: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Objects:
    """Ids by kind and tenant: `ids["vm"]["red"]`; "" is nobody's, "*" everybody's."""

    ids: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def id_of(self, kind: str, tenant: str, standing: str) -> str | None:
        """The id of an object that stands so to a tenant; None if there is none of this kind."""
        known = self.ids.get(kind, {})
        if standing == ABSENT:
            return MISSING
        if "*" in known:
            return known["*"] if standing == OWN else None
        if standing == UNMANAGED:
            return known.get("")
        other = next((each for each in known if each not in (tenant, "")), None)
        return known.get(tenant if standing == OWN else other or "no such tenant")


Body = Callable[[Mapping[str, str]], Any]
"""Takes ids by kind, and returns the JSON body."""


@dataclass(frozen=True)
class Row:
    """How an endpoint is called so that it changes nothing that other cells need.

    `ids` are the kinds of ids inside the body or query: each is tried as own, foreign, nobody's and missing. `answers`
    are statuses of `NOT_ALLOWED` that a permitted call may get for another reason. `only_refusals`: permitted calls are
    left out, because they change what others need; the tests of the noun make them. `creates`: what is missing is created.
    `untested` says why there are no cells at all.
    """

    body: Body | None = None
    query: Body | None = None
    ids: tuple[str, ...] = ()
    answers: frozenset[int] = frozenset()
    only_refusals: bool = False
    creates: bool = False
    untested: str = ""


_PLAIN = Row()
_ROWS_OF_PUBLIC = Row(untested="everybody may call it; the tests of sign-in and health do")
ROWS: dict[str, Row] = {
    "POST /auth/login": _ROWS_OF_PUBLIC,
    "POST /auth/refresh": _ROWS_OF_PUBLIC,
    "POST /auth/register": _ROWS_OF_PUBLIC,
    "GET /auth/validate": _PLAIN,
    "POST /auth/logout": Row(only_refusals=True),
    "POST /auth/ws-ticket": Row(),
    "GET /auth/sessions": _PLAIN,
    "DELETE /auth/sessions/{session_id}": Row(only_refusals=True),
    "GET /api/admin/users/{user_id}/sessions": _PLAIN,
    "DELETE /api/admin/users/{user_id}/sessions/{session_id}": Row(only_refusals=True),
    "GET /auth/tokens": _PLAIN,
    "POST /auth/tokens": Row(body=lambda _: {"name": "matrix", "read_only": True}),
    "DELETE /auth/tokens/{token_id}": Row(only_refusals=True),
    "GET /api/admin/tokens": _PLAIN,
    "DELETE /api/admin/tokens/{token_id}": Row(only_refusals=True),
    "GET /auth/totp": _PLAIN,
    "POST /auth/totp": Row(body=lambda _: {"password": "quiet harbour seventeen lanterns"}),
    "POST /auth/totp/confirm": Row(body=lambda _: {"code": "no code"}),
    "DELETE /auth/totp": Row(body=lambda _: {"password": "quiet harbour seventeen lanterns", "code": ""}),
    "DELETE /api/admin/users/{user_id}/totp": Row(only_refusals=True),
    "POST /auth/prove": Row(body=lambda _: {"password": "quiet harbour seventeen lanterns"}),
    "POST /auth/invitation": _ROWS_OF_PUBLIC,
    "POST /auth/password-reset": _ROWS_OF_PUBLIC,
    "POST /auth/password": Row(body=lambda _: {"old": "not the password", "new": "another quiet otter paints"}, answers=frozenset({403})),
    "POST /auth/join": Row(body=lambda _: {"code": "AAAA-AAAA-AAAA-AAAA"}, answers=frozenset({403, 404})),
    "POST /auth/tenant": Row(body=lambda ids: {"tenant": ids["tenant"]}, ids=("tenant",), only_refusals=True),
    "GET /api/admin/users": _PLAIN,
    "POST /api/admin/users": Row(body=lambda _: {"username": "ann", "password": "quiet harbour seventeen lanterns"}),
    "GET /api/admin/users/{user_id}": _PLAIN,
    "PATCH /api/admin/users/{user_id}": Row(body=lambda _: {"email": "new@example.org"}),
    "DELETE /api/admin/users/{user_id}": Row(only_refusals=True),
    "POST /api/admin/users/{user_id}/reset-code": _PLAIN,
    "POST /api/admin/users/{user_id}/hand-over": Row(body=lambda _: {"to": "nobody"}),
    "PUT /api/admin/tenants/{tenant}/members/{user_id}": Row(body=lambda _: {"role": "viewer"}, only_refusals=True),
    "DELETE /api/admin/tenants/{tenant}/members/{user_id}": Row(only_refusals=True),
    "GET /api/admin/invitations": _PLAIN,
    "POST /api/admin/invitations": Row(body=lambda _: {}),
    "DELETE /api/admin/invitations/{invitation_id}": Row(only_refusals=True),
    "GET /api/admin/tenants": _PLAIN,
    "POST /api/admin/tenants": Row(body=lambda _: {"id": "red"}),
    "GET /api/admin/tenants/{tenant}": _PLAIN,
    "PATCH /api/admin/tenants/{tenant}": Row(body=lambda _: {"name": "renamed"}),
    "DELETE /api/admin/tenants/{tenant}": Row(only_refusals=True),
    "GET /api/admin/audit": _PLAIN,
    "GET /api/admin/audit/verify": _PLAIN,
    "GET /api/admin/audit/export": _PLAIN,
    "GET /health": _ROWS_OF_PUBLIC,
    "GET /livez": _ROWS_OF_PUBLIC,
    "GET /readyz": _ROWS_OF_PUBLIC,
    "GET /api/info": _ROWS_OF_PUBLIC,
    "GET /api/proof": _ROWS_OF_PUBLIC,
    "GET /metrics": _ROWS_OF_PUBLIC,
    "GET /ws/events/v1": Row(untested="a socket: see test_sockets_of_the_matrix"),
    "GET /api/vm/vms/{vm_id}/console": Row(untested="a socket: see test_consoles_of_the_matrix"),
    "GET /api/events": _PLAIN,
    "GET /api/monitoring/history": Row(
        query=lambda ids: {"subject": f"vm:{ids['vm']}", "metric": "cpu_cores"}, ids=("vm",)
    ),
    "GET /api/vm/vms/{vm_id}/metrics": _PLAIN,
    "GET /api/monitoring/metrics": _PLAIN,
    "GET /api/monitoring/vms": _PLAIN,
    "GET /api/hosts": _PLAIN,
    "GET /api/hosts/{host_id}": _PLAIN,
    "GET /api/quota": Row(query=lambda ids: {"tenant": ids["tenant"]}, ids=("tenant",)),
    "GET /api/storage/images": _PLAIN,
    "PUT /api/storage/images/{name}": Row(only_refusals=True, creates=True),
    "DELETE /api/storage/images/{name}": Row(only_refusals=True),
    "GET /api/operations": _PLAIN,
    "GET /api/operations/{operation_id}": _PLAIN,
    "GET /api/operations/{operation_id}/children": _PLAIN,
    "POST /api/operations/{operation_id}/cancel": _PLAIN,
    "GET /api/storage/pools": _PLAIN,
    "PUT /api/storage/pools/{pool_id}": Row(body=lambda _: {"tier": "hot"}, only_refusals=True),
    "GET /api/storage/tiers": _PLAIN,
    "GET /api/storage/heat": _PLAIN,
    "GET /api/storage/volumes/{volume_id}/heat": _PLAIN,
    "GET /api/storage/advice": _PLAIN,
    "GET /api/storage/automatic": _PLAIN,
    "GET /api/storage/decisions": _PLAIN,
    "GET /api/storage/policy": _PLAIN,
    "PUT /api/storage/policy": Row(body=lambda _: {"evaluations": 3}),
    "PUT /api/storage/volumes/{volume_id}/placement": Row(body=lambda _: {"pinned": False}),
    "GET /api/vm/vms": _PLAIN,
    "POST /api/vm/vms": Row(body=lambda ids: {"name": "taken", "image": "empty", "host": ids["host"]}, ids=("host",)),
    "GET /api/vm/vms/{vm_id}": _PLAIN,
    "DELETE /api/vm/vms/{vm_id}": _PLAIN,
    "GET /api/vm/vms/{vm_id}/console/log": _PLAIN,
    "POST /api/vm/vms/{vm_id}/console/set-up": _PLAIN,
    "GET /api/vm/vms/{vm_id}/crash": Row(answers=frozenset({404})),
    "POST /api/vm/vms/bulk": Row(body=lambda ids: {"action": "resume", "ids": [ids["vm"]]}, ids=("vm",)),
    "POST /api/vm/vms/{vm_id}/hand-over": Row(body=lambda _: {"owner": "nobody"}, answers=frozenset({403})),
    "POST /api/vm/vms/{vm_id}/adopt": Row(body=lambda _: {"tenant": "default", "owner": "nobody"}),
    "POST /api/vm/vms/{vm_id}/release": Row(only_refusals=True),
    **{
        f"POST /api/vm/vms/{{vm_id}}/{verb}": _PLAIN
        for verb in (
            "start", "stop", "restart", "reset", "power-off", "pause", "resume", "discard-saved", "acknowledge",
        )
    },
    "GET /api/storage/volumes": _PLAIN,
    "POST /api/storage/volumes": Row(
        body=lambda ids: {"name": "taken", "size_bytes": 1 << 20, "host": ids["host"]}, ids=("host",)
    ),
    "GET /api/storage/volumes/{volume_id}": _PLAIN,
    "GET /api/storage/volumes/{volume_id}/deletion": _PLAIN,
    "GET /api/storage/volumes/{volume_id}/moves": _PLAIN,
    "DELETE /api/storage/volumes/{volume_id}": _PLAIN,
    "POST /api/storage/volumes/{volume_id}/resize": Row(body=lambda _: {"size_bytes": 1 << 30}),
    "POST /api/storage/volumes/{volume_id}/clone": Row(body=lambda _: {"name": "copy"}),
    "POST /api/storage/volumes/{volume_id}/attach": Row(body=lambda ids: {"vm": ids["vm"]}, ids=("vm",)),
    "POST /api/storage/volumes/{volume_id}/detach": Row(only_refusals=True),
    "POST /api/storage/volumes/{volume_id}/hand-over": Row(body=lambda _: {"owner": "nobody"}, answers=frozenset({403})),
    "PUT /api/storage/volumes/{volume_id}/tier": Row(body=lambda _: {"tier": "cold"}),
}  # fmt: skip
_NEVER_WITH_FILTER = (
    "POST /api/storage/volumes",
    "POST /api/storage/volumes/{volume_id}/clone",
    "POST /api/storage/volumes/{volume_id}/detach",
)
"""What an API token with a filter may not do whatever it is about: it leaves a volume without a VM."""
KINDS = {
    "vm_id": "vm", "volume_id": "volume", "operation_id": "operation", "host_id": "host", "pool_id": "pool", "name": "image",
    "user_id": "user", "tenant": "tenant", "invitation_id": "invitation",
    "session_id": "session", "token_id": "API token",
}  # fmt: skip
"""Placeholder of a path → kind of object."""


def path_kinds(endpoint: Endpoint[Any, Any, Any]) -> dict[str, str]:
    """The placeholders of the path, each with the kind of object that it names."""
    names = [part[1:-1] for part in endpoint.path.split("/") if part.startswith("{")]
    return {name: KINDS[name] for name in names}


def is_missing(person: Person, kind: str, standing: str) -> bool:
    return standing == ABSENT or kind in person.hidden


def expected(person: Person, endpoint: Endpoint[Any, Any, Any], row: Row, standings: Mapping[str, str]) -> int | None:
    """401, 403 or 404 where the call must be refused; None where it must get another answer."""
    if endpoint.permission is Permission.PUBLIC:
        return None
    if person.role is None:
        return 401
    if not allows(person.role, endpoint.permission, person.scope):
        return 403
    sees_all = person.role is Role.ADMINISTRATOR
    if row.creates:
        return None
    if person.hidden and endpoint.key in _NEVER_WITH_FILTER:
        return 403
    if any(is_missing(person, kind, each) or (each != OWN and not sees_all) for kind, each in standings.items()):
        return 404
    if person.hidden and endpoint.key == "POST /api/vm/vms":  # as its row calls it, the VM would not match
        return 403
    return None
