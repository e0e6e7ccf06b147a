"""One client that follows a console: what it was sent, how far it has read, and what is told to it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from uuid import uuid4

import msgspec

from novacron_core import errors
from novacron_core.api.consoles import MAX_OUTPUT_BYTES, ConsoleFrame, ConsoleProblem, ConsoleSkipped, Writer
from novacron_core.rules.visibility import Principal
from novacron_server.consoles.ring import Ring

LATE_BYTES, LATE_S = 64 * 1024, 2.0
"""A follower that is further behind than this, and has been behind for so long, is given the tail only."""
TAIL_BYTES = 16 * 1024
_MAX_FRAMES = 200
"""Text frames that wait for a client. One that reads none of so many is closed by the gateway soon."""


class ConsoleFollower:
    """A connection. `window` is how many bytes it may be sent before it confirms some; 0: as many as its line takes.
    `may_follow` tells whether the VM is still shown to the principal."""

    def __init__(
        self,
        principal: Principal,
        ring: Ring,
        *,
        writes: bool,
        window: int = 0,
        may_follow: Callable[[], bool] = lambda: True,
    ) -> None:
        self.id = uuid4().hex
        self.principal = principal
        self.writes = writes
        self.may_follow = may_follow
        self.close_code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.wake = asyncio.Event()
        self.sent = 0
        """Frames that were sent."""
        self.typed_at = self._now()
        self._ring = ring
        self._window = window
        self.at = ring.end
        self._unconfirmed: deque[tuple[int, int]] = deque()
        """Ranges of bytes that were sent and are not confirmed; what was skipped lies between them."""
        self._behind_since: float | None = None
        self._frames: deque[bytes] = deque(maxlen=_MAX_FRAMES)

    @property
    def as_writer(self) -> Writer:
        return Writer(name=self.principal.username, follower=self.id)

    def start_at(self, at: int) -> None:
        """Begin with this byte, or with the oldest one that is kept."""
        self.at = min(max(at, self._ring.begin), self._ring.end)
        if at < self._ring.begin:
            self.tell(ConsoleSkipped(bytes=self._ring.begin - at, at=self.at))

    def confirm(self, at: int) -> None:
        """The client has processed everything before this byte."""
        while self._unconfirmed and (first := self._unconfirmed[0])[0] < at:
            self._unconfirmed.popleft()
            if at < first[1]:
                self._unconfirmed.appendleft((at, first[1]))
        self.wake.set()

    def tell(self, frame: ConsoleFrame) -> None:
        """Queue a text frame."""
        self._frames.append(msgspec.json.encode(frame))
        self.wake.set()

    def refuse(self, error: errors.NovaCronError, lost: int = 0) -> None:
        """`lost` are typed bytes that this is about."""
        self.tell(ConsoleProblem(problem=error.problem(), lost=lost))

    def close(self, code: int) -> None:
        if not self.close_code.done():
            self.close_code.set_result(code)

    def next_frame(self) -> bytes | None:
        """The next text frame to send, None if there is none."""
        return self._frames.popleft() if self._frames else None

    def next_output(self) -> bytes:
        """The next bytes to send; empty if there are none, or the client has not confirmed enough. May queue a frame
        that must be sent before them."""
        self._skip()
        ahead = sum(end - begin for begin, end in self._unconfirmed)
        room = self._window - ahead if self._window else MAX_OUTPUT_BYTES
        data = self._ring.read(self.at, min(MAX_OUTPUT_BYTES, room)) if room > 0 else b""
        if self._window and data:
            joins = bool(self._unconfirmed) and self._unconfirmed[-1][1] == self.at
            begin = self._unconfirmed.pop()[0] if joins else self.at
            self._unconfirmed.append((begin, self.at + len(data)))
        self.at += len(data)
        if self.at == self._ring.end:
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = self._now()
        return data

    def _skip(self) -> None:
        to = max(self.at, self._ring.begin)
        late = self._behind_since is not None and self._now() - self._behind_since > LATE_S
        if to > self.at or (late and self._ring.end - to > LATE_BYTES):
            to = max(to, self._ring.end - TAIL_BYTES)
        if to > self.at:
            skipped, self.at = to - self.at, to
            self._behind_since = self._now()
            self.tell(ConsoleSkipped(bytes=skipped, at=to))

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
