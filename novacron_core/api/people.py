"""People: accounts with their memberships of tenants, and the invitations that make new ones."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from novacron_core.api.access import Membership
from novacron_core.api.base import ListQuery, Nothing, Page, Request, Time, Value
from novacron_core.api.endpoint import endpoint
from novacron_core.api.operations import Operation
from novacron_core.api.ownership import HandOverAll
from novacron_core.values.names import TENANT_PATTERN, USERNAME_PATTERN
from novacron_core.values.open_enum import OpenEnum
from novacron_core.values.roles import Permission as P
from novacron_core.values.roles import Role

Email = Annotated[str, Meta(max_length=254)]
TenantId = Annotated[str, Meta(pattern=TENANT_PATTERN, max_length=63)]


class Person(Value, frozen=True):
    """An account, as a reader may see it.

    For the owner of a tenant: `role` and `memberships` are those in his tenant, and `last_seen_at` is when the person was
    there last. For an administrator: `role` is the one in `tenant`, where a sign-in begins (empty without a membership).
    The role of administrators is always administrator.
    """

    id: str
    username: str
    role: Role
    email: str = ""
    tenant: str = ""
    disabled: bool = False
    administrator: bool = False
    second_factor: bool = False
    memberships: list[Membership] = []
    created_at: Time | None = None
    last_seen_at: Time | None = None


class PersonCreate(Request, frozen=True):
    """A new account, a member of `tenant`: None for that of the caller's session."""

    username: Annotated[str, Meta(pattern=USERNAME_PATTERN, max_length=32)]
    password: Annotated[str, Meta(max_length=1024)]
    email: Email = ""
    tenant: TenantId | None = None
    role: Role = Role.VIEWER
    administrator: bool = False
    """Only an administrator may create another one."""


class PersonChange(Request, frozen=True):
    """Only what is given changes. An owner may change the e-mail address of accounts of his tenant alone."""

    email: Email | UnsetType = UNSET
    disabled: bool | UnsetType = UNSET
    administrator: bool | UnsetType = UNSET


class MemberRole(Request, frozen=True):
    """`role` is owner, operator or viewer."""

    role: Role


class ResetCode(Value, frozen=True):
    """Sets a new password once, until `expires_at`. The code is in this answer alone."""

    code: str
    expires_at: Time


class InvitationState(OpenEnum):
    OPEN = "open"
    USED = "used"
    REVOKED = "revoked"
    EXPIRED = "expired"


class Invitation(Value, frozen=True):
    """An invitation to a tenant. `used_by` is the user name of who has taken it up."""

    id: str
    tenant: str
    role: Role
    state: InvitationState
    created_by: str
    created_at: Time
    expires_at: Time
    email: str = ""
    used_by: str = ""
    used_at: Time | None = None


class InvitationCreate(Request, frozen=True):
    """An invitation to `tenant`: None for that of the caller's session. `email` is a note of whom it is for."""

    role: Role = Role.VIEWER
    tenant: TenantId | None = None
    email: Email = ""
    expires_in_hours: Annotated[int, Meta(ge=1, le=720)] = 72


class NewInvitation(Value, frozen=True):
    """The code is in this answer alone: only its hash is stored."""

    code: str
    invitation: Invitation


LIST = endpoint("GET /api/admin/users", Page[Person], P.PEOPLE_READ, query=ListQuery, summary="List people")
GET = endpoint("GET /api/admin/users/{user_id}", Person, P.PEOPLE_READ, summary="Get a person")
CREATE = endpoint(
    "POST /api/admin/users", Person, P.PEOPLE_CHANGE, takes=PersonCreate, status=201, summary="Create an account"
)
CHANGE = endpoint(
    "PATCH /api/admin/users/{user_id}", Person, P.PEOPLE_CHANGE, takes=PersonChange, summary="Change an account"
)
DELETE = endpoint("DELETE /api/admin/users/{user_id}", Nothing, P.ACCESS_ADMIN, status=204, summary="Delete an account")
SET_ROLE = endpoint(
    "PUT /api/admin/tenants/{tenant}/members/{user_id}",
    Person,
    P.PEOPLE_CHANGE,
    takes=MemberRole,
    summary="Give a person a role in a tenant",
)
REMOVE_MEMBER = endpoint(
    "DELETE /api/admin/tenants/{tenant}/members/{user_id}",
    Nothing,
    P.PEOPLE_CHANGE,
    status=204,
    summary="Remove a person from a tenant",
)
CREATE_RESET_CODE = endpoint(
    "POST /api/admin/users/{user_id}/reset-code",
    ResetCode,
    P.PEOPLE_CHANGE,
    status=201,
    summary="Create a one-time code that sets a new password",
)
HAND_OVER = endpoint(
    "POST /api/admin/users/{user_id}/hand-over",
    Operation,
    P.PEOPLE_CHANGE,
    takes=HandOverAll,
    status=202,
    summary="Give all VMs and volumes of a person another owner, or another tenant",
)
INVITATIONS = endpoint(
    "GET /api/admin/invitations", Page[Invitation], P.PEOPLE_READ, query=ListQuery, summary="List invitations"
)
INVITE = endpoint(
    "POST /api/admin/invitations",
    NewInvitation,
    P.PEOPLE_CHANGE,
    takes=InvitationCreate,
    status=201,
    summary="Invite a person to a tenant",
)
REVOKE_INVITATION = endpoint(
    "DELETE /api/admin/invitations/{invitation_id}",
    Nothing,
    P.PEOPLE_CHANGE,
    status=204,
    summary="Revoke an invitation",
)
