"""Accounts and sessions: registration, signing in and out, tokens."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from novacron_core.api.base import Nothing, Request, Time, Value
from novacron_core.api.endpoint import endpoint
from novacron_core.values.names import TENANT_PATTERN, USERNAME_PATTERN
from novacron_core.values.roles import Permission as P
from novacron_core.values.roles import Role

Code = Annotated[str, Meta(max_length=128)]
"""A one-time code: groups of letters and digits, in either case, with or without the hyphens between them."""


class Membership(Value, frozen=True):
    """A user's role in a tenant."""

    tenant: str
    role: Role


class User(Value, frozen=True):
    """An account as it is used now: `role` and `tenant` are those of the session or API token.

    `scope` lists the permissions to which an API token is limited, None without a limit. `memberships` are all tenants
    of the account; they are sent on signing in and by /auth/validate alone.
    """

    id: str
    username: str
    email: str
    role: Role
    tenant: str
    created_at: Time | None = None
    scope: list[str] | None = None
    memberships: list[Membership] = []

    @property
    def limits(self) -> frozenset[P] | None:
        """`scope` as far as this version knows its permissions."""
        return None if self.scope is None else frozenset(each for each in P if each in self.scope)


class Register(Request, frozen=True):
    """A new account. The first one requires `setup_token` and becomes an administrator."""

    username: Annotated[str, Meta(pattern=USERNAME_PATTERN, max_length=32)]
    password: Annotated[str, Meta(max_length=1024)]
    email: Annotated[str, Meta(max_length=254)] = ""
    setup_token: Annotated[str, Meta(max_length=128)] | None = None
    role: Role = Role.VIEWER
    """Only an administrator may request a role other than viewer."""


class Registered(Value, frozen=True):
    user: User


class Login(Request, frozen=True):
    """`totp` is a code of an authenticator app, or a recovery code; accounts with a second factor need it."""

    username: Annotated[str, Meta(max_length=254)]
    password: Annotated[str, Meta(max_length=1024)]
    totp: Annotated[str, Meta(max_length=64)] = ""


class Tokens(Value, frozen=True):
    """`token` is the access token, valid for `expires_in` seconds; `refresh_token` can be exchanged once for a new
    pair. It is empty in the answer to a change of tenant: the session keeps the one that it has."""

    token: str
    expires_in: int
    refresh_token: str
    user: User


class Refresh(Request, frozen=True):
    refresh_token: Annotated[str, Meta(max_length=512)]


class PasswordChange(Request, frozen=True):
    """The caller's own password. Every session of the account ends, this one too."""

    old: Annotated[str, Meta(max_length=1024)]
    new: Annotated[str, Meta(max_length=1024)]


class PasswordReset(Request, frozen=True):
    """A new password, with the one-time code that an owner or administrator has created."""

    username: Annotated[str, Meta(max_length=254)]
    code: Code
    new_password: Annotated[str, Meta(max_length=1024)]


class AcceptInvitation(Request, frozen=True):
    """A new account in the tenant of an invitation. Without `email` it gets that of the invitation."""

    code: Code
    username: Annotated[str, Meta(pattern=USERNAME_PATTERN, max_length=32)]
    password: Annotated[str, Meta(max_length=1024)]
    email: Annotated[str, Meta(max_length=254)] = ""


class Join(Request, frozen=True):
    """One more membership for the caller, with the code of an invitation."""

    code: Code


class SwitchTenant(Request, frozen=True):
    """The tenant in which the session goes on: one of the caller's, for an administrator any."""

    tenant: Annotated[str, Meta(pattern=TENANT_PATTERN, max_length=63)]


class Validation(Value, frozen=True):
    valid: bool
    user: User
    expires_at: Time


class Ticket(Value, frozen=True):
    """Valid for one WebSocket handshake within 30 seconds."""

    ticket: str
    expires_in: int


REGISTER = endpoint(
    "POST /auth/register", Registered, P.PUBLIC, takes=Register, status=201, summary="Create an account"
)
LOGIN = endpoint("POST /auth/login", Tokens, P.PUBLIC, takes=Login, summary="Sign in")
REFRESH = endpoint(
    "POST /auth/refresh", Tokens, P.PUBLIC, takes=Refresh, summary="Exchange a refresh token for a new pair"
)
VALIDATE = endpoint("GET /auth/validate", Validation, P.SIGNED_IN, summary="Validate an access token")
LOGOUT = endpoint("POST /auth/logout", Nothing, P.SELF_SIGN_IN, status=204, summary="Sign out")
WS_TICKET = endpoint("POST /auth/ws-ticket", Ticket, P.SIGNED_IN, summary="Create a ticket for the event stream")
CHANGE_PASSWORD = endpoint(
    "POST /auth/password", Nothing, P.SELF_CHANGE, takes=PasswordChange, status=204, summary="Change the own password"
)
RESET_PASSWORD = endpoint(
    "POST /auth/password-reset",
    Nothing,
    P.PUBLIC,
    takes=PasswordReset,
    status=204,
    summary="Set a new password with a one-time code",
)
ACCEPT_INVITATION = endpoint(
    "POST /auth/invitation",
    Registered,
    P.PUBLIC,
    takes=AcceptInvitation,
    status=201,
    summary="Create an account with the code of an invitation",
)
JOIN = endpoint("POST /auth/join", Membership, P.SELF_SIGN_IN, takes=Join, summary="Join a tenant with an invitation")
SWITCH_TENANT = endpoint(
    "POST /auth/tenant", Tokens, P.SELF_SIGN_IN, takes=SwitchTenant, summary="Go on in another tenant"
)
