"""Follows a chain of hashes, and says where and how it is not as it was written."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from novacron_server.audit.chain import GENESIS, SignedHash, Signer, link
from novacron_server.audit.repository import StreamedRow

_encode = msgspec.json.Encoder().encode


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

    def follow(self, rows: Sequence[StreamedRow]) -> bool:
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

    def _fail(self, rows: Sequence[StreamedRow], at: int) -> None:
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


def _place_of(rows: Sequence[StreamedRow], at: int) -> int | None:
    """The number under which a row's hash is right, among the rows that were read with it; None when there is none."""
    row, hashes = rows[at], {other[1]: other[-1] for other in rows}
    for seq in hashes:
        values = (row[0], seq, *row[2:-1])
        if any(link(hashes[before], values) == row[-1] for before in (seq - 1, seq) if before in hashes):
            return int(seq)
    return None


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


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first} to {last}"
