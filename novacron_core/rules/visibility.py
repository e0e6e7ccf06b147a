"""Who may see what: the one function that every list, lookup and event passes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from novacron_core.values.roles import Role

SHARED = "*"
"""The tenant of things that belong to the house, like hosts: everybody who is signed in may see them."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who is signed in. `expires_at` is when the token that said so ends."""

    user_id: str
    username: str
    role: Role
    tenant: str
    session_id: str
    expires_at: datetime


def may_see(principal: Principal, tenant: str | None) -> bool:
    """Whether a thing of this tenant is there at all for the principal.

    None is the tenant of unmanaged things, which NovaCron did not make: administrators alone see them.
    """
    if principal.role is Role.ADMINISTRATOR or tenant == SHARED:
        return True
    return tenant is not None and tenant == principal.tenant
