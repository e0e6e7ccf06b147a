"""One-time codes: those of an authenticator app, and recovery codes."""

from __future__ import annotations

import base64
import hmac
import secrets
import time

import pyotp

from novacron_server.access.tokens import fingerprint

ISSUER = "NovaCron"
STEP_S = 30
DRIFT = 1
"""By how many steps the clock of a phone may be off, each way."""
RECOVERY_CODES = 10
_RECOVERY_BYTES = 10  # 80 bits, so that a fast hash is safe
_RECOVERY_LENGTH = 16


def new_secret() -> str:
    """160 random bits in base32, as RFC 4226 recommends."""
    return pyotp.random_base32(32)


def uri(secret: str, username: str) -> str:
    """What an authenticator app reads from a QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=username, issuer_name=ISSUER)


def step_of(secret: str, code: str, now: float | None = None) -> int | None:
    """The time step whose code this is, now or one step around it; None for a wrong code.

    Compares every candidate, so that the response time does not reveal which one matched.
    """
    current = int(time.time() if now is None else now) // STEP_S
    totp = pyotp.TOTP(secret)
    typed = code.encode(errors="replace")
    steps = range(current - DRIFT, current + DRIFT + 1)
    right = [step for step in steps if hmac.compare_digest(totp.generate_otp(step).encode(), typed)]
    return max(right) if right else None


def normal(code: str) -> str:
    """A code as it is compared: people type spaces, dashes and capitals."""
    return "".join(letter for letter in code.lower() if letter not in " -")


def new_recovery_codes() -> list[str]:
    """Fresh recovery codes like `abcd-efgh-ijkl-mnop`."""
    return [_recovery_code() for _ in range(RECOVERY_CODES)]


def recovery_fingerprint(code: str) -> bytes | None:
    """The stored form of a recovery code; None for a text that is none."""
    plain = normal(code)
    return fingerprint(plain) if len(plain) == _RECOVERY_LENGTH and plain.isascii() else None


def _recovery_code() -> str:
    plain = base64.b32encode(secrets.token_bytes(_RECOVERY_BYTES)).decode().lower()
    return "-".join(plain[begin : begin + 4] for begin in range(0, _RECOVERY_LENGTH, 4))
