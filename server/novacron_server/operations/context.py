"""The context of a running procedure: its operation, its journal, and methods to report progress."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, Generic

import msgspec

from novacron_core.api.operations import BulkCounts, Operation
from novacron_server.operations import journal
from novacron_server.operations.journal import Journal, S

_REPORT_EVERY_S = 0.5


class UndoFinding(str):
    """Returned by an undo that found something an operator must know. It is shown next to the reason of the failure,
    which alone would suggest that nothing was done."""

    __slots__ = ()


class CompletedAnyway(UndoFinding):
    """Returned by an undo that found the whole change done although its last step failed."""

    __slots__ = ()


class StoppedEarly(Exception):
    """Raised by a `run` that was told to stop (`Procedure.stop`) and has done so: the operation ends as cancelled, with
    this reason."""


class PartlyRefused(Exception):
    """Raised by a `run` whose objects are as requested but for some that the rules refuse: the operation ends as refused,
    with this reason. Nothing has failed."""


class OperationContext(Generic[S]):
    """A running operation. `publish` takes its new value; `commit_steps` takes (operation id, steps), the journal."""

    def __init__(
        self,
        entry: Journal[S],
        *,
        publish: Callable[[Operation], Awaitable[None]],
        commit_steps: Callable[[str, dict[str, Any]], Awaitable[None]],
    ) -> None:
        self.operation = entry.operation
        self.host_id = entry.host_id
        self.request = entry.request
        self.steps: S = entry.steps
        self.accepted_seq = entry.accepted_seq
        self._publish = publish
        self._commit_steps = commit_steps
        self._reported_at = 0.0
        self._step_began_at = time.monotonic()

    @property
    def id(self) -> str:
        return self.operation.id

    @property
    def target_id(self) -> str:
        return self.operation.target.id

    @property
    def entry(self) -> Journal[S]:
        """The journal as it is now."""
        return Journal(self.operation, self.host_id, self.request, self.steps, self.accepted_seq)

    async def report_step(self, text: str) -> None:
        """Publish the current step, as words for the operator."""
        self._step_began_at = time.monotonic()
        self.operation = msgspec.structs.replace(self.operation, step=text, progress=None, rate=None, eta_s=None)
        await self._publish(self.operation)

    async def report_counts(self, counts: BulkCounts, text: str) -> None:
        """Publish how many of a bulk's objects are in each state. It can be cancelled while one is queued."""
        self.note_counts(counts, text)
        await self._publish(self.operation)

    def note_counts(self, counts: BulkCounts, text: str) -> None:
        """Like `report_counts`, but without publishing it, because the operation is about to end."""
        progress = counts.ended / counts.total if counts.total else None
        may_cancel = self.operation.may_cancel and counts.queued > 0
        self.operation = msgspec.structs.replace(
            self.operation, counts=counts, progress=progress, step=text, may_cancel=may_cancel
        )

    async def forbid_cancel(self) -> None:
        """Refuse to cancel the operation from now on, and publish that."""
        self.close()
        await self._publish(self.operation)

    def close(self) -> None:
        """Like `forbid_cancel`, but without publishing it, because the operation is about to end."""
        self.operation = msgspec.structs.replace(self.operation, may_cancel=False)

    async def write_ahead(self, **changes: Any) -> None:
        """Commit these changes of the journal, before the step that they announce is done."""
        self.steps = msgspec.structs.replace(self.steps, **changes)
        await self._commit_steps(self.id, journal.write(self.steps))

    async def report_bytes(self, done_bytes: int, total_bytes: int) -> None:
        """Publish progress in bytes, at most twice a second."""
        now = time.monotonic()
        if now - self._reported_at < _REPORT_EVERY_S and done_bytes < total_bytes:
            return
        self._reported_at = now
        rate = done_bytes / max(now - self._step_began_at, 1e-3)
        self.operation = msgspec.structs.replace(
            self.operation,
            progress=min(1.0, done_bytes / total_bytes) if total_bytes else None,
            rate=rate,
            eta_s=(total_bytes - done_bytes) / rate if rate > 0 else None,
        )
        await self._publish(self.operation)
