"""Group commit: what is to be written with events while one transaction runs goes together with the next.

Every commit with events holds the counter until it is on the disk, so the writers of a busy server would stand in line
for one lock, each with a connection of its own. Here they share a transaction, a lock and a flush to the disk.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from novacron_core import errors
from novacron_server.database import faults
from novacron_server.database.transactions import Connection, Database, wait
from novacron_server.outbox.records import EventDraft
from novacron_server.outbox.repository import append

T = TypeVar("T")
Unit = Callable[[Connection], Awaitable[tuple[T, Sequence[EventDraft]]]]
"""Writes rows and returns its answer and the events that go with them. May be run again, so it does nothing but SQL."""

AT_ONCE = 50
"""Units in one transaction: few enough to end well within the budget."""


class _Waiting:
    """A unit and who waits for it."""

    def __init__(self, unit: Unit[Any], until: float) -> None:
        self.unit = unit
        self.until = until
        self.taken = False
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def refuse(self, error: BaseException) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)
            self.answer.exception()  # who waited may have gone

    def grant(self, answer: object) -> None:
        if not self.answer.done():
            self.answer.set_result(answer)


class GroupCommit:
    """One per server. `wake` is called after each commit."""

    def __init__(self, database: Database, wake: Callable[[], None]) -> None:
        self._database = database
        self._wake = wake
        self._waiting: list[_Waiting] = []
        self._task: asyncio.Task[None] | None = None

    async def write(self, unit: Unit[T]) -> T:
        """Run `unit` and append its events in a transaction that others may share, and commit.

        Raises what the unit raises (then nothing of it is written); DatabaseUnavailable within the budget when nothing
        was written, OutcomeUnknown when nobody can say.
        """
        until = time.monotonic() + self._database.budget_s
        waiting = _Waiting(unit, until)
        self._waiting.append(waiting)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="ledger")
        try:
            await wait(waiting.answer, until)
        except asyncio.CancelledError:
            self._withdraw(waiting)
            raise
        if not waiting.answer.done():
            self._withdraw(waiting)
            raise faults.unknown_outcome() if waiting.taken else faults.translate(faults.Expired())
        answer: T = waiting.answer.result()
        return answer

    def _withdraw(self, waiting: _Waiting) -> None:
        if not waiting.taken:
            self._waiting.remove(waiting)

    async def close(self) -> None:
        """Stop; who still waits hears DatabaseUnavailable within the budget."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:AT_ONCE], self._waiting[AT_ONCE:]
            for waiting in batch:
                waiting.taken = True
            error = await self._together(batch)
            if isinstance(error, errors.DatabaseUnavailable):
                self._give_up(batch, error)
            elif error is not None:
                await self._one_by_one(batch)  # one was refused: the others have nothing to do with it

    async def _together(self, batch: list[_Waiting]) -> BaseException | None:
        """Grant them all, or return why nothing of them was written (or, OutcomeUnknown, nobody can say)."""

        async def work(connection: Connection) -> list[Any]:
            answers: list[Any] = []
            drafts: list[EventDraft] = []
            for waiting in batch:
                answer, told = await waiting.unit(connection)
                answers.append(answer)
                drafts += told
            await append(connection, drafts)
            return answers

        done = await asyncio.gather(self._database.run(work), return_exceptions=True)
        if isinstance(done[0], BaseException):
            return done[0]
        self._wake()
        for waiting, answer in zip(batch, done[0], strict=True):
            waiting.grant(answer)
        return None

    async def _one_by_one(self, batch: list[_Waiting]) -> None:
        for number, waiting in enumerate(batch):
            error = await self._together([waiting])
            if isinstance(error, errors.DatabaseUnavailable):
                self._give_up([waiting], error)
                self._give_up(batch[number + 1 :], _nothing_written(error))
                return
            if error is not None:
                waiting.refuse(error)

    def _give_up(self, batch: list[_Waiting], error: errors.DatabaseUnavailable) -> None:
        """The database is away. Those who stand behind would wait as long again: they are told at once, too."""
        for waiting in batch:
            waiting.refuse(error)
        behind, self._waiting = self._waiting, []
        for waiting in behind:
            waiting.refuse(_nothing_written(error))


def _nothing_written(error: errors.DatabaseUnavailable) -> errors.DatabaseUnavailable:
    """For who was not in the transaction that was lost: of his, nothing was written."""
    return errors.DatabaseUnavailable(error.detail, retry_after_s=error.retry_after_s or faults.RETRY_AFTER_S)
