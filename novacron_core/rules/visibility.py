"""Visibility by tenant: the one function that filters every list, lookup and event."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from novacron_core.values.roles import Role

SHARED = "*"
"""The tenant of shared resources, like hosts: every signed-in user may see them."""
ONLY_ADMINISTRATORS = "only administrators see VMs that NovaCron does not manage"
"""Why a list may be empty though the hosts are not."""


@dataclass(frozen=True, slots=True)
class Principal:
    """A signed-in user. `expires_at` is when the access token expires."""

    user_id: str
    username: str
    role: Role
    tenant: str
    session_id: str
    expires_at: datetime


def may_see(principal: Principal, tenant: str | None) -> bool:
    """Whether the principal may know that a resource of this tenant exists.

    `tenant` is None for unmanaged resources (not created by NovaCron): only administrators see them.
    """
    if principal.role is Role.ADMINISTRATOR or tenant == SHARED:
        return True
    return tenant is not None and tenant == principal.tenant
