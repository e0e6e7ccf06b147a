"""What a signed-in user may see and do: the one place that filters every list, lookup and event."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime

from novacron_core.values.roles import Permission, Role, allows, why_not_role

SHARED = "*"
"""The tenant of shared resources, like hosts: every signed-in user may see them."""
ONLY_ADMINISTRATORS = "only administrators see VMs that NovaCron does not manage"
"""Why a list may be empty though the hosts are not."""


@dataclass(frozen=True, slots=True)
class Principal:
    """A signed-in user, in one tenant. `expires_at` is when the access token expires.

    `scope` limits what the role permits: it is that of an API token, None without a limit. `token` is the name of that
    API token, empty for a session.
    """

    user_id: str
    username: str
    role: Role
    tenant: str
    session_id: str
    expires_at: datetime
    scope: frozenset[Permission] | None = None
    token: str = ""

    @property
    def audience(self) -> Hashable:
        """Principals of one audience see the same objects."""
        return self.role, self.tenant, self.scope


def may(principal: Principal, permission: Permission) -> bool:
    """Whether the principal holds the permission."""
    return allows(principal.role, permission, principal.scope)


def why_not_permitted(principal: Principal, permission: Permission) -> str | None:
    """The sentence that refuses the principal, or None when it holds the permission."""
    return why_not_role(principal.role, permission, principal.scope)


def may_see(principal: Principal, tenant: str | None) -> bool:
    """Whether the principal may know that a resource of this tenant exists.

    `tenant` is None for unmanaged resources (not created by NovaCron): only administrators see them.
    """
    if principal.role is Role.ADMINISTRATOR or tenant == SHARED:
        return True
    return tenant is not None and tenant == principal.tenant
