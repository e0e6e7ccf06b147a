"""The last output of a console. Its bytes are counted from the first one on, so that each follower knows where it is."""

from __future__ import annotations

RING_BYTES = 256 * 1024


class Ring:
    """Keeps the last `size` bytes. `end` is the number of the next byte."""

    def __init__(self, size: int = RING_BYTES) -> None:
        self._size = size
        self._data = bytearray()
        self.end = 0

    @property
    def begin(self) -> int:
        """The number of the oldest byte that is kept."""
        return self.end - len(self._data)

    def append(self, data: bytes, dropped: int = 0) -> None:
        """Add output, of which the `dropped` bytes before it are lost: what is older is of no use then."""
        if dropped:
            self._data.clear()
            self.end += dropped
        self._data += data
        self.end += len(data)
        if (over := len(self._data) - self._size) > 0:
            del self._data[:over]

    def read(self, at: int, most: int) -> bytes:
        """Up to `most` bytes from number `at` on, which must not be older than `begin`."""
        start = at - self.begin
        return bytes(self._data[start : start + most])
