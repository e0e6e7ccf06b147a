"""Signs the ends of the chains with a key of the data directory: so a chain that was cut, or written anew by the owner
of the database, is found. The chain itself is in `rules.audit_chain`."""

from __future__ import annotations

from base64 import b64decode, b64encode
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from novacron_core.errors import Internal
from novacron_core.rules.audit_chain import SignedHash, Walk, is_signed, signed_text
from novacron_server.database.private_files import read_private, write_private

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(time: datetime) -> int:
    """A time as the chain has it."""
    since = time - _EPOCH
    return (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds


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
        made = signed_text(purpose, tenant, seq, digest.hex(), time)
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


def start_of(checkpoint: SignedHash | None, head: SignedHash | None, signer: Signer) -> Walk:
    """A walk from the beginning of what is left of a chain. One whose checkpoint is not signed ends there."""
    signed = {head.seq: head.digest} if head else {}
    if checkpoint is None:
        return Walk(signed=signed)
    walk = Walk(checkpoint.seq, checkpoint.digest, signed)
    if not signer.is_ours(checkpoint):
        walk.bad_seq, walk.reason = checkpoint.seq, "edited: the checkpoint is not signed by this server's key"
    elif signed.get(checkpoint.seq, walk.hash) != walk.hash:
        walk.bad_seq, walk.reason = checkpoint.seq, "rewritten: the signed head has another hash"
    return walk
