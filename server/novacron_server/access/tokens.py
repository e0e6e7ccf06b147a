"""Access tokens (JWT, RFC 7519): one algorithm, every claim required, one token type."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from uuid import UUID

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
"""How much the clocks of two servers may differ."""
MAX_TOKEN_CHARACTERS = 4096
REQUIRED = ["user_id", "sub", "sid", "role", "tenant", "epoch", "iat", "nbf", "exp", "iss", "aud", "jti", "typ"]
_LAST = 253402300799  # the end of the year 9999, the last one of a datetime
_INVALID = "The token is not valid. Sign in again."


class Claims(msgspec.Struct, frozen=True):
    """The claims of a token. `epoch` is the account's at issue time: a later change of role or password raises it and
    so ends the token."""

    user_id: str
    sid: str
    role: Role
    tenant: str
    epoch: int
    exp: int

    def __post_init__(self) -> None:
        if not self.role.known:
            raise ValueError("unknown role")
        if any(str(UUID(found)) != found for found in (self.sid, self.user_id)):
            raise ValueError("not an id of ours")
        if not 0 <= self.exp <= _LAST:
            raise ValueError("no such time")

    @property
    def expires_at(self) -> datetime:
        return datetime.fromtimestamp(self.exp, UTC)


def sign(keys: Keys, *, user_id: str, session_id: str, role: Role, tenant: str, epoch: int, until: datetime) -> str:
    """Create an access token that expires at `until`."""
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
    """The claims of a token that this server signed and that has not expired.

    Raises Unauthenticated, without revealing which check failed.
    """
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise Unauthenticated(_INVALID)
    try:
        kid = _key_id(token.partition(".")[0])
        secret = keys.secret(kid) if kid is not None else None
        if secret is None:
            raise Unauthenticated(_INVALID)
        claims = _decode(token, secret)
        if claims.expires_at.timestamp() + LEEWAY_S <= time.time():
            raise Unauthenticated(_INVALID)
        return claims
    except (jwt.PyJWTError, msgspec.ValidationError, ValueError, OverflowError):
        raise Unauthenticated(_INVALID) from None


@lru_cache(maxsize=4096)
def _decode(token: str, secret: bytes) -> Claims:
    """The claims of a token signed with this key. Valid tokens are cached, because clients send the same one again and
    again; only the expiry depends on the time and is checked by the caller."""
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
        raise Unauthenticated(_INVALID)
    return msgspec.convert(claims, Claims)


@lru_cache(maxsize=64)
def _key_id(header: str) -> str | None:
    """The key id in a token's header. All tokens of one key have the same header, so the result is cached.

    It only selects one of our own keys; PyJWT reads the header again and enforces the algorithm.
    """
    kid = jwt.get_unverified_header(f"{header}.e30.").get("kid")
    return kid if isinstance(kid, str) else None


def opaque() -> str:
    """Create a token without content: 256 random bits."""
    return secrets.token_urlsafe(32)


def successor(keys: Keys, refresh_token: str) -> str:
    """The refresh token that follows this one: always the same, and unknown to whoever has no key of this server."""
    return _derive(keys.current.secret, refresh_token)


def successors(keys: Keys, refresh_token: str) -> list[str]:
    """What `successor` answered or answers, with each key in use: the newest one may be a moment old."""
    return [_derive(secret, refresh_token) for secret in keys.secrets]


def _derive(secret: str, refresh_token: str) -> str:
    digest = hmac.digest(secret.encode(), b"refresh\0" + refresh_token.encode(errors="surrogatepass"), "sha256")
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def fingerprint(token: str) -> bytes:
    """The stored form of an opaque token. It is random enough that a fast hash is safe."""
    return hashlib.sha256(token.encode()).digest()
