"""What a guest has sent and the emulator has not taken yet, with a bound."""

from __future__ import annotations

from collections import deque

MAX_QUEUED_BYTES = 256 * 1024
KEPT_BYTES = 128 * 1024
"""What is left when more than MAX_QUEUED_BYTES wait: the newest."""
_LINE_SEARCH = 1 << 12


class OutputQueue:
    """Bytes in, pieces out. `skipped` counts the bytes that were left out before what comes out next."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self.skipped = 0

    def __len__(self) -> int:
        return self._size

    def put(self, data: bytes) -> None:
        """Add bytes; with too many the oldest are left out, up to the end of a line."""
        self._pieces.append(data)
        self._size += len(data)
        if self._size <= MAX_QUEUED_BYTES:
            return
        over = self._size - KEPT_BYTES
        while over >= len(self._pieces[0]):
            over -= len(self._pieces.popleft())
        first = self._pieces.popleft()
        line_end = first.find(b"\n", over, over + _LINE_SEARCH)
        if rest := first[line_end + 1 if line_end >= 0 else over :]:
            self._pieces.appendleft(rest)
        size = sum(map(len, self._pieces))
        self.skipped += self._size - size
        self._size = size

    def take(self, size: int) -> bytes:
        """The next bytes, at most `size`; empty when there are none."""
        if not self._pieces:
            return b""
        first = self._pieces.popleft()
        piece = first[:size]
        if len(first) > size:
            self._pieces.appendleft(first[size:])
        self._size -= len(piece)
        return piece

    def clear(self) -> None:
        """Forget everything."""
        self._pieces.clear()
        self._size = self.skipped = 0
