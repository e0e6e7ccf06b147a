"""Authorization: one permission per endpoint, a set of permissions per role. Roles have no order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    """Any signed-in user, to read about their own session and account."""
    SELF_SIGN_IN = "self:sign_in"
    """Sign out, go on in another tenant, set up a second factor: also for a session that may do nothing else yet."""
    SELF_CHANGE = "self:change"
    """Change one's own password, sessions and API tokens. An API token never may: it could outlive its revocation."""
    VM_READ = "vm:read"
    VM_CHANGE = "vm:change"
    VM_CONSOLE = "vm:console"
    """Type into the serial console of a VM, and read what it has printed: passwords may be among it."""
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

_SELF = frozenset({Permission.SELF_SIGN_IN, Permission.SELF_CHANGE})
_OPERATES = (
    _READS
    | _SELF
    | {Permission.VM_CHANGE, Permission.VM_CONSOLE, Permission.VOLUME_CHANGE, Permission.OPERATION_CHANGE}
)

GRANTS: dict[Role, frozenset[Permission]] = {
    Role.VIEWER: _READS | _SELF,
    Role.OPERATOR: _OPERATES,
    Role.OWNER: _OPERATES | {Permission.PEOPLE_READ, Permission.PEOPLE_CHANGE, Permission.AUDIT_READ},
    Role.ADMINISTRATOR: frozenset(Permission),
}
READ_ONLY = _READS | {Permission.PEOPLE_READ, Permission.AUDIT_READ}
"""The scope of a read-only API token."""
ALWAYS_IN_SCOPE = frozenset({Permission.PUBLIC, Permission.SIGNED_IN})
GRANTABLE = frozenset(Permission) - _SELF - ALWAYS_IN_SCOPE
"""What an API token may be limited to."""
OF_SOME_VMS = frozenset(
    {
        Permission.VM_READ,
        Permission.VM_CHANGE,
        Permission.VM_CONSOLE,
        Permission.VOLUME_READ,
        Permission.VOLUME_CHANGE,
        Permission.HOST_READ,
        Permission.OPERATION_READ,
        Permission.OPERATION_CHANGE,
        Permission.EVENT_READ,
    }
)
"""What an API token may be permitted that is limited to the VMs of a filter: the rest is about no VM."""
SET_UP_ONLY = ALWAYS_IN_SCOPE | {Permission.SELF_SIGN_IN}
"""The scope of a session in a tenant that requires a second factor, until its user has set one up."""


def token_scope(permissions: Iterable[str] | None, vm_filter: str = "") -> frozenset[Permission]:
    """The scope of an API token with these permissions, None for all that it may have. Unknown ones grant nothing.

    `vm_filter` limits it to some VMs.
    """
    grantable = GRANTABLE & OF_SOME_VMS if vm_filter else GRANTABLE
    named = grantable if permissions is None else grantable & {each for each in Permission if each in set(permissions)}
    return ALWAYS_IN_SCOPE | named


def limits_words(permissions: Sequence[str] | None, vm_filter: str = "") -> str:
    """To what an API token is limited, in words: `reading of tag:"ci"`."""
    of_vms = f" of {vm_filter}" if vm_filter else ""
    if permissions is None:
        return f"VMs{of_vms}" if of_vms else "its user"
    if set(permissions) == READ_ONLY & GRANTABLE:
        return f"reading{of_vms}"
    return " ".join(permissions) + of_vms


def allows(role: Role | None, permission: Permission, scope: frozenset[Permission] | None = None) -> bool:
    """Whether a caller with this role (None: not signed in) holds the permission.

    `scope` limits the rights of the role: it is that of an API token, None without a limit.
    """
    if role is None:
        return permission is Permission.PUBLIC
    return permission in GRANTS.get(role, frozenset()) and (scope is None or permission in scope)


def gains_rights(before: Role, after: Role) -> bool:
    """Whether a change of role permits anything that the role before did not."""
    return not GRANTS.get(after, frozenset()) <= GRANTS.get(before, frozenset())


def why_not_role(role: Role, permission: Permission, scope: frozenset[Permission] | None = None) -> str | None:
    """The sentence that refuses a role or a scope, or None when it has the permission."""
    if allows(role, permission, scope):
        return None
    if allows(role, permission) and scope == SET_UP_ONLY:
        return "this tenant requires a second factor: set one up with :account, or `novacron totp set-up`"
    if allows(role, permission):
        return f"this API token is limited: it lacks the permission {permission}"
    return f"your role ({role}) lacks the permission {permission}"
