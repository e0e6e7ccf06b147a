"""The form of a one-time code: 125 random bits, in five groups that can be read out and typed."""

from __future__ import annotations

import secrets

from novacron_server.access.tokens import fingerprint

_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: without letters that look like digits."""
_LOOK_ALIKES = str.maketrans("OIL", "011")
_GROUPS, _LONG = 5, 5


def new_code() -> str:
    """`7KQ2M-…`: a new code."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(_LONG)) for _ in range(_GROUPS))


def hash_of(typed: str) -> bytes:
    """The stored form of a code, however it was typed. It is random enough that a fast hash is safe."""
    letters = "".join(letter for letter in typed.upper() if letter.isalnum())
    return fingerprint(letters.translate(_LOOK_ALIKES))
