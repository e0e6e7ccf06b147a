"""Access tokens (JWT, RFC 7519): one algorithm, every claim required, each token for one use."""

from __future__ import annotations

import hashlib
import secrets
import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import jwt
import msgspec

from novacron_core.errors import Unauthenticated
from novacron_core.values.roles import Role
from novacron_server.access.keys import Keys

ALGORITHM = "HS256"
ISSUER = "novacron"
AUDIENCE = "novacron-api"
TYPE = "access"
LIFETIME = timedelta(minutes=15)
LEEWAY_S = 5
"""Clocks of two servers may differ by this much."""
MAX_TOKEN_CHARACTERS = 4096
REQUIRED = ["user_id", "sub", "sid", "role", "tenant", "epoch", "iat", "nbf", "exp", "iss", "aud", "jti", "typ"]
_BAD = "the token is not good: sign in again"


class Claims(msgspec.Struct, frozen=True):
    """What a token says. `epoch` is the account's at that time: a newer one (role, password) ends the token."""

    user_id: str
    sid: str
    role: Role
    tenant: str
    epoch: int
    exp: int

    def __post_init__(self) -> None:
        if not self.role.known:
            raise ValueError("unknown role")

    @property
    def expires_at(self) -> datetime:
        return datetime.fromtimestamp(self.exp, UTC)


def sign(keys: Keys, *, user_id: str, session_id: str, role: Role, tenant: str, epoch: int, until: datetime) -> str:
    """An access token that ends at `until`."""
    now = int(datetime.now(UTC).timestamp())
    claims = {
        "user_id": user_id,
        "sub": user_id,
        "sid": session_id,
        "role": str(role),
        "tenant": tenant,
        "epoch": epoch,
        "iat": now,
        "nbf": now,
        "exp": int(until.timestamp()),
        "iss": ISSUER,
        "aud": AUDIENCE,
        "jti": secrets.token_hex(12),
        "typ": TYPE,
    }
    key = keys.current
    return jwt.encode(claims, key.secret, algorithm=ALGORITHM, headers={"kid": key.kid})


def verify(keys: Keys, token: str) -> Claims:
    """The claims of a token that is ours, whole and in its time. Raises Unauthenticated, without saying which was not."""
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise Unauthenticated(_BAD)
    try:
        kid = _kid(token.partition(".")[0])
        secret = keys.secret(kid) if kid is not None else None
        if secret is None:
            raise Unauthenticated(_BAD)
        claims = _whole(token, secret)
        if claims.expires_at.timestamp() + LEEWAY_S <= time.time():
            raise Unauthenticated(_BAD)
        return claims
    except (jwt.PyJWTError, msgspec.ValidationError, ValueError):
        raise Unauthenticated(_BAD) from None


@lru_cache(maxsize=4096)
def _whole(token: str, secret: bytes) -> Claims:
    """The claims of a token that is signed by this key. Good ones are remembered: a reader sends the same again and
    again, and only its end is a matter of time."""
    claims = jwt.decode(
        token,
        secret,
        algorithms=[ALGORITHM],
        audience=AUDIENCE,
        issuer=ISSUER,
        leeway=LEEWAY_S,
        options={"require": REQUIRED},
    )
    if claims["typ"] != TYPE or claims["sub"] != claims["user_id"]:
        raise Unauthenticated(_BAD)
    return msgspec.convert(claims, Claims)


@lru_cache(maxsize=64)
def _kid(header: str) -> str | None:
    """Which key a token's first part names. All tokens of one key have the same one, so it is parsed once.

    It only chooses among our own keys; PyJWT reads the header again and holds it to our algorithm.
    """
    kid = jwt.get_unverified_header(f"{header}.e30.").get("kid")
    return kid if isinstance(kid, str) else None


def opaque() -> str:
    """A token that says nothing: 256 random bits."""
    return secrets.token_urlsafe(32)


def fingerprint(token: str) -> bytes:
    """What is kept of an opaque token. Its randomness makes a slow hash needless."""
    return hashlib.sha256(token.encode()).digest()
