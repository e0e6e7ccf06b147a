"""The chain of hashes of the audit log: each entry's hash covers its content and the hash before it.

An entry that was changed, moved or deleted breaks the chain. Signatures cover the ends of chains (their heads) and of what
was deleted by retention (checkpoints). A server verifies its database with this, and a script command an export.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from novacron_core import errors
from novacron_core.api.audit import ChainCheck

GENESIS = bytes(32)
"""The hash before the first entry."""
FIELDS = (
    "tenant", "seq", "time", "actor_id", "actor", "role", "address", "session_id", "token", "action", "target_type",
    "target_id", "target_name", "result", "status", "code", "request_id", "detail", "times",
)  # fmt: skip
"""What a hash covers, in this order; the time in microseconds since 1970."""
Row = tuple[Any, ...]
"""The FIELDS of an entry, then its hash."""
_encode = msgspec.json.Encoder().encode


def link(previous: bytes, values: Sequence[Any]) -> bytes:
    """The hash of an entry: SHA-256 over the hash before it and its FIELDS as a JSON array."""
    return hashlib.sha256(previous + _encode(values)).digest()


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


def is_signed(signed: SignedHash) -> bool:
    """Whether the signature is that of the key which the value names. Raises Unsupported where nothing can check it."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:  # a console alone needs none
        raise errors.Unsupported("signatures cannot be checked here: install the Python package cryptography") from None
    try:
        key = Ed25519PublicKey.from_public_bytes(b64decode(signed.key, validate=True))
        made = signed_text(signed.purpose, signed.tenant, signed.seq, signed.hash, signed.time)
        key.verify(b64decode(signed.signature, validate=True), made)
    except (InvalidSignature, ValueError):
        return False
    return True


def signed_text(purpose: str, tenant: str, seq: int, digest: str, time: str) -> bytes:
    """What a signature covers."""
    return msgspec.json.encode([f"novacron audit {purpose}", tenant, seq, digest, time])


@dataclass(slots=True)
class Walk:
    """A walk along a chain, after the entry `seq` with `hash`. `signed` are hashes that it must meet by their numbers.

    `bad_seq` is where it ended, None as long as everything is as it was written, and `reason` why.
    """

    seq: int = 0
    hash: bytes = GENESIS
    signed: dict[int, bytes] = field(default_factory=dict)
    entries: int = 0
    bad_seq: int | None = None
    reason: str = ""

    def follow(self, rows: Sequence[Row]) -> bool:
        """Follow the next entries; False when one is bad. Blocking: about 5 µs for each."""
        seq, digest, signed = self.seq, self.hash, self.signed
        for at, row in enumerate(rows):
            seq += 1
            found = hashlib.sha256(digest + _encode(row[:-1])).digest()
            if row[1] != seq or found != row[-1]:
                self._fail(rows, at)
                return False
            digest = found
            if seq in signed and signed[seq] != digest:
                self._end(seq, "rewritten: the signed head has another hash")
                return False
            self.seq, self.hash = seq, digest
            self.entries += 1
        return True

    def end(self, head: SignedHash | None) -> None:
        """The chain has no more entries: compare its end with the signed head."""
        if self.bad_seq is None and head is not None and self.seq < head.seq:
            missing = "entry" if head.seq == self.seq + 1 else "entries"
            self._end(self.seq + 1, f"cut: {missing} {_span(self.seq + 1, head.seq)} at the end, which were signed")

    def _end(self, seq: int, reason: str) -> None:
        self.bad_seq, self.reason = seq, reason

    def _fail(self, rows: Sequence[Row], at: int) -> None:
        """Say why the row at this place cannot follow."""
        row, wanted = rows[at], self.seq + 1
        if row[1] > wanted:
            self._end(wanted, f"deleted: entries {_span(wanted, row[1] - 1)}")
        elif row[1] < wanted:
            self._end(wanted, f"reordered: entry {row[1]} comes twice")
        elif (place := _place_of(rows, at)) is not None:
            self._end(wanted, f"reordered: this was entry {place}")
        else:
            self._end(wanted, "edited: its content does not have its hash")


def _place_of(rows: Sequence[Row], at: int) -> int | None:
    """The number under which a row's hash is right, among the rows that were read with it; None when there is none."""
    row, hashes = rows[at], {other[1]: other[-1] for other in rows}
    for seq in hashes:
        values = (row[0], seq, *row[2:-1])
        if any(link(hashes[before], values) == row[-1] for before in (seq - 1, seq) if before in hashes):
            return int(seq)
    return None


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first} to {last}"


def joined(before: ChainCheck | None, part: ChainCheck) -> ChainCheck:
    """What was found in a chain so far, with its next part."""
    if before is None:
        return part
    return msgspec.structs.replace(
        part, entries=before.entries + part.entries, first=before.first or part.first, last=part.last or before.last
    )


# -- exports -------------------------------------------------------------------------------------------------------------


def check_export(lines: Iterable[dict[str, Any]]) -> tuple[list[ChainCheck], list[str]]:
    """Verify the chains of an export, given the values of its lines. Also returns the public keys of its signatures: an
    export is as trustworthy as they are known to be the server's.

    Raises ValidationFailed for lines that are not those of an export, Unsupported.
    """
    checks, keys, walk, pruned, begun = [], set(), Walk(), 0, 0
    try:
        for values in lines:
            record = values["record"]
            for signed in (values.get("checkpoint"), values.get("signed")):
                keys |= {signed["key"]} if signed else set()
            if record == "chain":
                walk, pruned = _exported_start(values)
                begun += 1
            elif record == "entry" and walk.bad_seq is None:
                walk.follow([(*(values[name] for name in FIELDS), bytes.fromhex(values["hash"]))])
            elif record == "head":
                checks.append(_exported_end(values, walk, pruned))
    except (KeyError, TypeError, ValueError, msgspec.ValidationError):
        raise errors.ValidationFailed("this is not an export of an audit log") from None
    if not checks or len(checks) != begun:
        raise errors.ValidationFailed("this is not a whole export of an audit log: it has no signed head")
    return checks, sorted(keys)


def _exported_start(values: dict[str, Any]) -> tuple[Walk, int]:
    checkpoint = msgspec.convert(values["checkpoint"], SignedHash | None)
    if checkpoint is None:
        return Walk(), 0
    walk = Walk(checkpoint.seq, checkpoint.digest)
    if not is_signed(checkpoint) or (checkpoint.purpose, checkpoint.tenant) != ("checkpoint", values["tenant"]):
        walk.bad_seq, walk.reason = checkpoint.seq, "edited: the signature of the checkpoint is wrong"
    return walk, checkpoint.seq


def _exported_end(values: dict[str, Any], walk: Walk, pruned: int) -> ChainCheck:
    head, tenant = msgspec.convert(values["signed"], SignedHash | None), values["tenant"]
    if walk.bad_seq is None and head is not None:
        walk.end(head)
        if not is_signed(head) or (head.purpose, head.tenant) != ("head", tenant):
            walk.bad_seq, walk.reason = head.seq, "edited: the signature of the head is wrong"
        elif walk.bad_seq is None and (walk.seq, walk.hash) != (head.seq, head.digest):
            walk.bad_seq, walk.reason = head.seq, "rewritten: the signed head has another hash"
    elif walk.bad_seq is None and walk.entries:
        walk.bad_seq, walk.reason = walk.seq, "the export has no signed head"
    first = walk.seq - walk.entries + 1 if walk.entries else 0
    return ChainCheck(
        tenant=tenant,
        entries=walk.entries,
        first=first,
        last=walk.seq if walk.entries else 0,
        pruned=pruned,
        bad_seq=walk.bad_seq,
        reason=walk.reason,
    )
