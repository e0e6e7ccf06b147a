"""What running work is given: a way to say how far it is, and to write ahead what it is about to make."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from novacron_core.api.operations import Operation

_TELL_EVERY_S = 0.5


class CompletedAnyway(str):
    """What an undoing returns when the work is done though it failed at its end: told with the reason, which alone would
    have one think otherwise."""

    __slots__ = ()


class OperationContext:
    """One operation while it runs. `tell` publishes its new value; `write_ahead` commits its steps first."""

    def __init__(
        self,
        operation: Operation,
        *,
        tell: Callable[[Operation], Awaitable[None]],
        write_ahead: Callable[[str, dict[str, Any]], Awaitable[None]],
        steps: dict[str, Any] | None = None,
    ) -> None:
        self.operation = operation
        self._tell = tell
        self._write_ahead = write_ahead
        self._steps: dict[str, Any] = dict(steps or {})
        self._told_at = 0.0
        self._moved_at = time.monotonic()
        self._moved_from = 0

    @property
    def id(self) -> str:
        return self.operation.id

    async def report_step(self, text: str) -> None:
        """Say what is done now, in words."""
        self._moved_at, self._moved_from = time.monotonic(), 0
        self.operation = msgspec.structs.replace(self.operation, step=text, progress=None, rate=None, eta_s=None)
        await self._tell(self.operation)

    async def forbid_cancel(self) -> None:
        """From here on it cannot be cancelled."""
        self.close()
        await self._tell(self.operation)

    def close(self) -> None:
        """As `forbid_cancel`, and not worth telling: its end is near."""
        self.operation = msgspec.structs.replace(self.operation, may_cancel=False)

    async def write_ahead(self, **things: Any) -> None:
        """Remember, durably, what is about to be made; read again by the settler after a crash."""
        self._steps |= things
        await self._write_ahead(self.id, self._steps)

    async def report_bytes(self, done_bytes: int, total_bytes: int) -> None:
        """Say how many bytes are through; told at most twice a second."""
        now = time.monotonic()
        if now - self._told_at < _TELL_EVERY_S and done_bytes < total_bytes:
            return
        self._told_at = now
        elapsed = max(now - self._moved_at, 1e-3)
        rate = (done_bytes - self._moved_from) / elapsed
        self.operation = msgspec.structs.replace(
            self.operation,
            progress=min(1.0, done_bytes / total_bytes) if total_bytes else None,
            rate=rate,
            eta_s=(total_bytes - done_bytes) / rate if rate > 0 else None,
        )
        await self._tell(self.operation)
