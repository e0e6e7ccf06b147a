"""What a signed-in user may see and do: the one place that filters every list, lookup and event."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import msgspec

from novacron_core.api.operations import Operation
from novacron_core.rules.filters.vms import Scoped, stored_scope
from novacron_core.values.roles import Permission, Role, allows, why_not_role
from novacron_core.values.texts import without_paths

SHARED = "*"
"""The tenant of shared resources, like hosts: every signed-in user may see them."""
ONLY_ADMINISTRATORS = "only administrators see VMs that NovaCron does not manage"
"""Why a list may be empty though the hosts are not."""


class ScopedVM(Scoped, Protocol):
    """A VM, or its row."""

    @property
    def tenant(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Principal:
    """A signed-in user, in one tenant. `expires_at` is when the access token expires.

    `scope` limits what the role permits: it is that of an API token, None without a limit. `token` is the name of that
    API token, empty for a session. `vm_filter` is that of an API token that is limited to some VMs: what is about other
    VMs, or about none, is missing for it.
    """

    user_id: str
    username: str
    role: Role
    tenant: str
    session_id: str
    expires_at: datetime
    scope: frozenset[Permission] | None = None
    token: str = ""
    vm_filter: str = ""

    @property
    def audience(self) -> Hashable:
        """Principals of one audience see the same objects. One with a filter also sees the operations that it began."""
        return self.role, self.tenant, self.scope, self.vm_filter, self.session_id if self.vm_filter else ""

    @property
    def token_id(self) -> str:
        """The id of the API token; empty for a session."""
        return self.session_id if self.token else ""

    @property
    def limited_token(self) -> str:
        """The id of the API token, if it is limited to some VMs; empty for any other caller."""
        return self.session_id if self.vm_filter else ""


def may(principal: Principal, permission: Permission) -> bool:
    """Whether the principal holds the permission."""
    return allows(principal.role, permission, principal.scope)


def why_not_permitted(principal: Principal, permission: Permission) -> str | None:
    """The sentence that refuses the principal, or None when it holds the permission."""
    return why_not_role(principal.role, permission, principal.scope)


def readable(principal: Principal, sentence: str) -> str:
    """The sentence as the principal may read it: where things are on a host is for administrators."""
    return sentence if principal.role is Role.ADMINISTRATOR else without_paths(sentence)


def readable_operation(principal: Principal, operation: Operation) -> Operation:
    """The operation as the principal may read it, who sees it."""
    step, problem = readable(principal, operation.step), operation.problem
    if problem is not None:
        problem = msgspec.structs.replace(problem, detail=readable(principal, problem.detail))
    if step == operation.step and problem == operation.problem:
        return operation
    return msgspec.structs.replace(operation, step=step, problem=problem)


def may_see(principal: Principal, tenant: str | None) -> bool:
    """Whether the principal may know that a resource of this tenant exists.

    `tenant` is None for unmanaged resources (not created by NovaCron): only administrators see them.
    """
    if principal.role is Role.ADMINISTRATOR or tenant == SHARED:
        return True
    return tenant is not None and tenant == principal.tenant


def sees_everything(principal: Principal) -> bool:
    """Whether nothing is hidden from the principal, so that a long list need not be asked item by item."""
    return principal.role is Role.ADMINISTRATOR and not principal.vm_filter


def may_see_vm(principal: Principal, vm: ScopedVM) -> bool:
    """Whether the principal may know that this VM exists: by its tenant, and by the filter of an API token."""
    return may_see(principal, vm.tenant) and in_scope(principal, vm)


def may_see_all(principal: Principal, tenant: str | None) -> bool:
    """Whether the principal may know what all VMs of a tenant are together: their number, use and curves."""
    return may_see(principal, tenant) and not principal.vm_filter


def in_scope(principal: Principal, vm: Scoped | None) -> bool:
    """Whether the filter of an API token matches a VM; always without a filter. None: what is about no VM."""
    return not principal.vm_filter or (vm is not None and stored_scope(principal.vm_filter)(vm))
