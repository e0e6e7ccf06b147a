"""Samples that wait for the database: bounded in bytes, the oldest go first when there is no more room."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime

MOST_BYTES = 16 << 20
"""A thousand VMs for about ten minutes."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """The packed rows of one moment."""

    time: datetime
    rows: int
    data: bytes


class WriteQueue:
    """`lost` counts the rows that had to go unwritten."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._chunks: deque[Chunk] = deque()
        self.bytes = 0
        self.rows = 0
        self.lost = 0

    def add(self, chunk: Chunk) -> None:
        """Take rows, and let the oldest go where they no longer fit."""
        self._chunks.append(chunk)
        self.bytes += len(chunk.data)
        self.rows += chunk.rows
        while self.bytes > self._most_bytes:
            self.lost += self._pop().rows

    def first(self, most_bytes: int) -> list[Chunk]:
        """The oldest chunks, up to so many bytes but at least one; they stay until `written`."""
        found: list[Chunk] = []
        size = 0
        for chunk in self._chunks:
            if found and size + len(chunk.data) > most_bytes:
                break
            found.append(chunk)
            size += len(chunk.data)
        return found

    def written(self, chunks: list[Chunk]) -> None:
        """These are in the database. Those that had to go meanwhile are gone already."""
        held = {id(chunk) for chunk in chunks}
        while self._chunks and id(self._chunks[0]) in held:
            self._pop()

    def _pop(self) -> Chunk:
        chunk = self._chunks.popleft()
        self.bytes -= len(chunk.data)
        self.rows -= chunk.rows
        return chunk
