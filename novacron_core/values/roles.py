"""Authorization: one permission per endpoint, a set of permissions per role. Roles have no order."""

from __future__ import annotations

from enum import StrEnum

from novacron_core.values.open_enum import OpenEnum


class Role(OpenEnum):
    """`administrator` is a role of the installation; the others are those of a member of a tenant."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    OWNER = "owner"
    ADMINISTRATOR = "administrator"


TENANT_ROLES = (Role.OWNER, Role.OPERATOR, Role.VIEWER)
"""The roles of a membership, the one with most rights first."""


class Permission(StrEnum):
    PUBLIC = "public"
    """Any client, without signing in."""
    SIGNED_IN = "signed_in"
    """Any signed-in user, for their own session and account."""
    VM_READ = "vm:read"
    VM_CHANGE = "vm:change"
    VOLUME_READ = "volume:read"
    VOLUME_CHANGE = "volume:change"
    IMAGE_CHANGE = "image:change"
    """Images are shared: every tenant creates VMs from them."""
    HOST_READ = "host:read"
    HOST_CHANGE = "host:change"
    OPERATION_READ = "operation:read"
    OPERATION_CHANGE = "operation:change"
    EVENT_READ = "event:read"
    PEOPLE_READ = "people:read"
    """The members of a tenant, its invitations and its quotas."""
    PEOPLE_CHANGE = "people:change"
    """Invite and remove members of a tenant, and change their roles in it."""
    AUDIT_READ = "audit:read"
    ACCESS_ADMIN = "access:admin"
    """Accounts, tenants and administrators of the whole installation."""


_READS = frozenset(
    {
        Permission.PUBLIC,
        Permission.SIGNED_IN,
        Permission.VM_READ,
        Permission.VOLUME_READ,
        Permission.HOST_READ,
        Permission.OPERATION_READ,
        Permission.EVENT_READ,
    }
)

_OPERATES = _READS | {Permission.VM_CHANGE, Permission.VOLUME_CHANGE, Permission.OPERATION_CHANGE}

GRANTS: dict[Role, frozenset[Permission]] = {
    Role.VIEWER: _READS,
    Role.OPERATOR: _OPERATES,
    Role.OWNER: _OPERATES | {Permission.PEOPLE_READ, Permission.PEOPLE_CHANGE, Permission.AUDIT_READ},
    Role.ADMINISTRATOR: frozenset(Permission),
}
READ_ONLY = _READS | {Permission.PEOPLE_READ, Permission.AUDIT_READ}
"""The scope of a read-only API token."""


def allows(role: Role | None, permission: Permission, scope: frozenset[Permission] | None = None) -> bool:
    """Whether a caller with this role (None: not signed in) holds the permission.

    `scope` limits the rights of the role: it is that of an API token, None without a limit.
    """
    if role is None:
        return permission is Permission.PUBLIC
    return permission in GRANTS.get(role, frozenset()) and (scope is None or permission in scope)


def why_not_role(role: Role, permission: Permission, scope: frozenset[Permission] | None = None) -> str | None:
    """The sentence that refuses a role or a scope, or None when it has the permission."""
    if allows(role, permission, scope):
        return None
    if allows(role, permission):
        return f"this API token is limited: it lacks the permission {permission}"
    return f"your role ({role}) lacks the permission {permission}"
