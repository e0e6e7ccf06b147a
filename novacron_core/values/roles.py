"""Authorization: one permission per endpoint, a set of permissions per role. Roles have no order."""

from __future__ import annotations

from enum import StrEnum

from novacron_core.values.open_enum import OpenEnum


class Role(OpenEnum):
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMINISTRATOR = "administrator"


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
    ACCESS_ADMIN = "access:admin"


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

GRANTS: dict[Role, frozenset[Permission]] = {
    Role.VIEWER: _READS,
    Role.OPERATOR: _READS | {Permission.VM_CHANGE, Permission.VOLUME_CHANGE, Permission.OPERATION_CHANGE},
    Role.ADMINISTRATOR: frozenset(Permission),
}


def allows(role: Role | None, permission: Permission) -> bool:
    """Whether a caller with this role (None: not signed in) holds the permission."""
    if role is None:
        return permission is Permission.PUBLIC
    return permission in GRANTS.get(role, frozenset())


def why_not_role(role: Role, permission: Permission) -> str | None:
    """The sentence that refuses a role, or None when it has the permission."""
    if allows(role, permission):
        return None
    return f"your role ({role}) lacks the permission {permission}"
