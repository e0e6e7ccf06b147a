"""The content of a volume in pieces, data and holes: how they go through a pipe, and a checksum over them."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from typing import IO

_HEADER = struct.Struct(">?Q")
_BLOCK = 64 << 10


def write_piece(pipe: IO[bytes], data: bytes, hole_bytes: int = 0) -> None:
    """Write data, or else a hole, to a pipe. Blocks while it is full."""
    for part in (_HEADER.pack(hole_bytes > 0, hole_bytes or len(data)), data):
        left = memoryview(part)
        while left:
            left = left[pipe.write(left) or 0 :]


def read_pieces(pipe: IO[bytes]) -> Iterator[tuple[bytes, int]]:
    """What `write_piece` has written: (data, 0) or (empty, bytes of a hole). Ends with the pipe; raises
    BrokenPipeError if that ends within a piece, which is what follows an error at the other end."""
    while header := _read(pipe, _HEADER.size, may_end=True):
        is_hole, length = _HEADER.unpack(header)
        yield (b"", length) if is_hole else (_read(pipe, length), 0)


def _read(pipe: IO[bytes], length: int, *, may_end: bool = False) -> bytes:
    found = bytearray()
    while len(found) < length:
        if not (part := pipe.read(length - len(found))):
            if may_end and not found:
                return b""
            raise BrokenPipeError("the other end of the copy has stopped")
        found += part
    return bytes(found)


class SparseChecksum:
    """The SHA-256 of a content whose zeros cost nothing. It is the same however the zeros are split into data and holes,
    which differs between file systems: what counts is each block with another byte, with its offset, and the length."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._offset = 0
        self._block = bytearray()

    def add_data(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            room = _BLOCK - len(self._block)
            self._block += left[:room]
            left = left[room:]
            if len(self._block) == _BLOCK:
                self._end_block()

    def add_hole(self, length: int) -> None:
        begun = min(length, -len(self._block) % _BLOCK)
        self.add_data(bytes(begun))
        rest = (length - begun) % _BLOCK
        self._offset += length - begun - rest
        self.add_data(bytes(rest))

    def _end_block(self) -> None:
        if self._block.count(0) != len(self._block):
            self._digest.update(self._offset.to_bytes(8, "big") + self._block)
        self._offset += len(self._block)
        self._block.clear()

    def result(self) -> str:
        """The checksum, when all was added."""
        self._end_block()
        self._digest.update(self._offset.to_bytes(8, "big"))
        return self._digest.hexdigest()
