"""The queue of samples for the database: limited in bytes; when it is full, the oldest samples are dropped."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime

MAX_BYTES = 16 << 20
"""Enough for a thousand VMs for about ten minutes."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """The packed rows of one time."""

    time: datetime
    rows: int
    data: bytes


class WriteQueue:
    """`lost` counts the rows that were dropped unwritten."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._chunks: deque[Chunk] = deque()
        self.bytes = 0
        self.rows = 0
        self.lost = 0

    def add(self, chunk: Chunk) -> None:
        """Add rows; drop the oldest if they no longer fit."""
        self._chunks.append(chunk)
        self.bytes += len(chunk.data)
        self.rows += chunk.rows
        while self.bytes > self._max_bytes:
            self.lost += self._pop().rows

    def peek(self, max_bytes: int) -> list[Chunk]:
        """The oldest chunks, up to `max_bytes` but at least one; they stay queued until `remove_written` is called."""
        found: list[Chunk] = []
        size = 0
        for chunk in self._chunks:
            if found and size + len(chunk.data) > max_bytes:
                break
            found.append(chunk)
            size += len(chunk.data)
        return found

    def remove_written(self, chunks: list[Chunk]) -> None:
        """Remove chunks that are now in the database. Some may have been dropped since `peek`."""
        held = {id(chunk) for chunk in chunks}
        while self._chunks and id(self._chunks[0]) in held:
            self._pop()

    def _pop(self) -> Chunk:
        chunk = self._chunks.popleft()
        self.bytes -= len(chunk.data)
        self.rows -= chunk.rows
        return chunk
