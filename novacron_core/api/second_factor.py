"""The second factor of a sign-in, and proving once more who one is."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from novacron_core.api.base import Nothing, Request, Time, Value
from novacron_core.api.endpoint import endpoint
from novacron_core.values.roles import Permission as P

_Password = Annotated[str, Meta(max_length=1024)]
Code = Annotated[str, Meta(max_length=64)]
"""Six digits of an authenticator app, or a recovery code."""


class SecondFactor(Value, frozen=True):
    """`required`: the tenant admits nobody without one."""

    enabled: bool
    required: bool
    since: Time | None = None
    recovery_codes_left: int = 0


class BeginTotp(Request, frozen=True):
    password: _Password


class TotpSecret(Value, frozen=True):
    """`secret` is typed into an authenticator app, or `uri` is read by it as a QR code."""

    secret: str
    uri: str


class ConfirmTotp(Request, frozen=True):
    """`code` is what the app shows: it proves that the app has the secret."""

    code: Code


class RecoveryCodes(Value, frozen=True):
    """Each signs in once in place of a code of the app. They are shown this once."""

    recovery_codes: list[str]


class EndTotp(Request, frozen=True):
    password: _Password
    code: Code


class Prove(Request, frozen=True):
    """`totp` is needed when the account has a second factor."""

    password: _Password
    totp: Code = ""


class Proved(Value, frozen=True):
    """Until when this session may change access without proving again who its user is."""

    proved_until: Time


GET = endpoint("GET /auth/totp", SecondFactor, P.SIGNED_IN, summary="Show whether you have a second factor")
BEGIN = endpoint(
    "POST /auth/totp", TotpSecret, P.SELF_SIGN_IN, takes=BeginTotp, summary="Begin to set up a second factor"
)
CONFIRM = endpoint(
    "POST /auth/totp/confirm",
    RecoveryCodes,
    P.SELF_SIGN_IN,
    takes=ConfirmTotp,
    summary="Turn the second factor on, with a first code",
)
END = endpoint(
    "DELETE /auth/totp", Nothing, P.SELF_SIGN_IN, takes=EndTotp, status=204, summary="Turn the second factor off"
)
END_OF_USER = endpoint(
    "DELETE /api/admin/users/{user_id}/totp",
    Nothing,
    P.ACCESS_ADMIN,
    status=204,
    summary="Turn off the second factor of a user who has lost it",
)
PROVE = endpoint(
    "POST /auth/prove", Proved, P.SELF_SIGN_IN, takes=Prove, summary="Prove again who you are, before changes of access"
)
