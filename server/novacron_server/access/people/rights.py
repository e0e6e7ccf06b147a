"""Whom a principal sees, and whose account it may change."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from novacron_core.api.people import Person
from novacron_core.errors import Forbidden, NotFound
from novacron_core.rules.visibility import Principal, may, why_not_permitted
from novacron_core.values.roles import Permission
from novacron_server.database.transactions import Connection
from novacron_server.outbox.records import EventDraft

RequireProof = Callable[[Connection, Principal], Awaitable[None]]
"""Raises Forbidden when the principal must first prove again who it is."""
Disown = Callable[[Connection, str], Awaitable[Sequence[EventDraft]]]
"""Marks what the account of this name owns as that of a former user. Returns the events."""
USER_NOT_FOUND = "user not found"
TENANT_NOT_FOUND = "tenant not found"


def seen_tenant(principal: Principal) -> str | None:
    """The tenant to which the principal's view of people is limited; None for that of an administrator."""
    return None if may(principal, Permission.ACCESS_ADMIN) else principal.tenant


def require_seen(principal: Principal, person: Person | None) -> Person:
    """The person. Raises NotFound for one that the principal may not see, as for one that is missing."""
    tenant = seen_tenant(principal)
    if person is None or (tenant is not None and all(each.tenant != tenant for each in person.memberships)):
        raise NotFound(USER_NOT_FOUND)
    return person


def require_tenant(principal: Principal, tenant: str | None) -> str:
    """The tenant that a request names, that of the session by default. Raises NotFound for that of others."""
    if tenant is None:
        return principal.tenant
    if seen_tenant(principal) not in (None, tenant):
        raise NotFound(TENANT_NOT_FOUND)
    return tenant


def require(principal: Principal, permission: Permission) -> None:
    """Raises Forbidden."""
    if why := why_not_permitted(principal, permission):
        raise Forbidden(why)


def require_account(principal: Principal, person: Person) -> None:
    """Whether the principal, who sees the person, may change the account itself, and so enter where it may.

    Raises Forbidden for an administrator's and for one that does not belong to the principal's tenant alone.
    """
    tenant = seen_tenant(principal)
    if tenant is not None and not of_tenant_alone(person, tenant):
        raise Forbidden("This account is not of your tenant alone. Ask an administrator to change it.")


def refuse_own_token(principal: Principal, user_id: str) -> None:
    """Raises Forbidden for an API token of this user: it must not end the sessions and tokens that its user has."""
    if principal.token and principal.user_id == user_id:
        raise Forbidden(
            "An API token cannot end the sessions and API tokens of its own user. Sign in with your password."
        )


def of_tenant_alone(person: Person, tenant: str) -> bool:
    """Whether the owners of a tenant may do anything with an account: who enters it gets no rights elsewhere."""
    return not person.administrator and all(each.tenant == tenant for each in person.memberships)


async def no_proof(conn: Connection, principal: Principal) -> None:
    """Asks for no further proof: for a server on which signing in is enough."""


async def no_things(conn: Connection, username: str) -> Sequence[EventDraft]:
    """Marks nothing: for a server without VMs."""
    return ()
