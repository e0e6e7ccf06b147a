"""The chain of hashes: each entry's hash covers its content and the hash before it; signatures cover the ends.

An entry that was changed, moved or deleted breaks the chain. The last hash of a chain (its head) is signed with a key
of the data directory, and kept there: so a chain that was cut, or written anew by the owner of the database, is found.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from novacron_core.errors import Internal
from novacron_server.database.private_files import read_private, write_private

GENESIS = bytes(32)
"""The hash before the first entry."""
FIELDS = (
    "tenant", "seq", "time", "actor_id", "actor", "role", "address", "session_id", "token", "action", "target_type",
    "target_id", "target_name", "result", "status", "code", "request_id", "detail", "times",
)  # fmt: skip
"""What a hash covers, in this order; the time in microseconds since 1970."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_encode = msgspec.json.Encoder().encode


def link(previous: bytes, values: Sequence[Any]) -> bytes:
    """The hash of an entry: SHA-256 over the hash before it and its FIELDS as a JSON array."""
    return hashlib.sha256(previous + _encode(values)).digest()


def microseconds(time: datetime) -> int:
    """A time as the chain has it."""
    since = time - _EPOCH
    return (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds


class SignedHash(msgspec.Struct, frozen=True, kw_only=True):
    """The hash of one entry of a chain, signed. `key` is the public key (Ed25519, base64) and `purpose` head or
    checkpoint. The signature is over the JSON array [purpose, tenant, seq, hash, time], as they stand here."""

    purpose: str
    tenant: str
    seq: int
    hash: str
    time: str
    key: str
    signature: str

    @property
    def digest(self) -> bytes:
        return bytes.fromhex(self.hash)


class Signer:
    """Signs and checks with the Ed25519 key in a 0600 file of the data directory. Raises Internal for a corrupt file."""

    def __init__(self, file: Path) -> None:
        try:
            self._key = Ed25519PrivateKey.from_private_bytes(b64decode(read_private(file).strip(), validate=True))
        except FileNotFoundError:
            self._key = Ed25519PrivateKey.generate()
            write_private(file, b64encode(self._key.private_bytes_raw()).decode())
        except ValueError:
            raise Internal(
                f"{file} is corrupt. Restore it from a backup; a new key cannot verify what the old one has signed."
            ) from None
        self.public = b64encode(self._key.public_key().public_bytes_raw()).decode()

    def sign(self, purpose: str, tenant: str, seq: int, digest: bytes, at: datetime) -> SignedHash:
        time = at.astimezone(UTC).isoformat()
        made = _payload(purpose, tenant, seq, digest.hex(), time)
        return SignedHash(
            purpose=purpose,
            tenant=tenant,
            seq=seq,
            hash=digest.hex(),
            time=time,
            key=self.public,
            signature=b64encode(self._key.sign(made)).decode(),
        )

    def is_ours(self, signed: SignedHash) -> bool:
        """Whether this key has signed it, as it is."""
        return signed.key == self.public and is_signed(signed)


def is_signed(signed: SignedHash) -> bool:
    """Whether the signature is that of the key which the value names."""
    try:
        key = Ed25519PublicKey.from_public_bytes(b64decode(signed.key, validate=True))
        made = _payload(signed.purpose, signed.tenant, signed.seq, signed.hash, signed.time)
        key.verify(b64decode(signed.signature, validate=True), made)
    except (InvalidSignature, ValueError):
        return False
    return True


def _payload(purpose: str, tenant: str, seq: int, digest: str, time: str) -> bytes:
    return msgspec.json.encode([f"novacron audit {purpose}", tenant, seq, digest, time])
