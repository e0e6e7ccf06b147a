"""Group commit: all writes with events that arrive during one transaction share the next one.

Every commit with events holds the counter's lock until it is on the disk, so the writers of a busy server would queue
for that lock, each with its own connection. Here they share a transaction, the lock and a flush to the disk. Tenants take
turns, and what writes many rows has a transaction of its own, after which those that write few are next.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Any, TypeVar

from novacron_core import errors
from novacron_server.database import faults
from novacron_server.database.transactions import Connection, Database, wait
from novacron_server.outbox.records import EventDraft
from novacron_server.outbox.repository import append
from novacron_server.places import ACTS_FOR, TurnQueue
from novacron_server.tasks import cancel_tasks

T = TypeVar("T")
Unit = Callable[[Connection], Awaitable[tuple[T, Sequence[EventDraft]]]]
"""Writes rows and returns its result and the events for them. It may be run again, so it must only execute SQL."""

REFUSED_S = 10.0
"""After a refusal, the units of a tenant are guarded for so long: each can then be left out of the transaction. That costs
two statements more, but nobody else's units have to be run again because of it."""
MAX_UNITS = 50
"""Units in one transaction: few enough to commit well within the time budget."""


class _Refused(Exception):
    """What a guarded unit has raised."""


class _Waiting:
    """A unit and the future of its caller, who acts for `tenant`."""

    def __init__(self, unit: Unit[Any], tenant: str, until: float, *, alone: bool) -> None:
        self.unit = unit
        self.tenant = tenant
        self.alone = alone
        self.until = until
        self.started = False
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def fail(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(error)
            self.future.exception()  # mark as retrieved: the caller may be gone

    def succeed(self, result: object) -> None:
        if not self.future.done():
            self.future.set_result(result)


class GroupCommit:
    """One per server. `wake` is called after each commit."""

    def __init__(self, database: Database, wake: Callable[[], None]) -> None:
        self._database = database
        self._wake = wake
        self._waiting: TurnQueue[_Waiting] = TurnQueue()
        self._alone: TurnQueue[_Waiting] = TurnQueue()
        self._task: asyncio.Task[None] | None = None
        self._open: list[_Waiting] = []
        self._refused: dict[str, float] = {}
        """Until when the units of a tenant are guarded."""

    async def write(self, unit: Unit[T]) -> T:
        """As `write_numbered`, without the number."""
        return (await self.write_numbered(unit))[0]

    async def write_numbered(self, unit: Unit[T], *, alone: bool = False) -> tuple[T, int]:
        """Run `unit` and append its events in a transaction that others may share, unless it is to be `alone`, and commit.

        Returns its result, and the number of the transaction's last event (0: it had none): a caller that waits until
        that one has been folded (`Inventory.barrier`) sees what was written.

        Raises what the unit raises (then nothing of it is written); within the time budget DatabaseUnavailable if
        nothing was written, OutcomeUnknown if that cannot be determined.
        """
        until = time.monotonic() + self._database.budget_s
        waiting = _Waiting(unit, ACTS_FOR.get(), until, alone=alone)
        (self._alone if alone else self._waiting).add(waiting.tenant, waiting)
        if self._task is None or self._task.done():
            # Without the context of the first caller, who is not the one that acts in the units of the others.
            self._task = asyncio.create_task(self._run(), name="group commit", context=Context())
        try:
            await wait(waiting.future, until)
        except asyncio.CancelledError:
            self._withdraw(waiting)
            raise
        if not waiting.future.done():
            self._withdraw(waiting)
            raise faults.unknown_outcome() if waiting.started else faults.translate(faults.Expired())
        result: tuple[T, int] = waiting.future.result()
        return result

    async def settle(self) -> None:
        """Wait until the transaction that is open now has ended: a caller that got OutcomeUnknown, because it takes too
        long, can only read afterwards whether it was committed."""
        if running := [waiting.future for waiting in self._open]:
            await asyncio.wait(running, timeout=2 * self._database.budget_s)

    def _withdraw(self, waiting: _Waiting) -> None:
        if not waiting.started:
            (self._alone if waiting.alone else self._waiting).remove(waiting)

    async def close(self) -> None:
        """Stop; pending callers get DatabaseUnavailable within the time budget."""
        await cancel_tasks([self._task])

    async def _run(self) -> None:
        while self._waiting or self._alone:
            if self._waiting:
                await self._commit_batch([self._waiting.take() for _ in range(min(MAX_UNITS, len(self._waiting)))])
            if self._alone:
                await self._commit_batch([self._alone.take()])

    async def _commit_batch(self, batch: list[_Waiting]) -> None:
        for waiting in batch:
            waiting.started = True
        self._open = batch
        now = time.monotonic()
        self._refused = {tenant: until for tenant, until in self._refused.items() if until > now}
        error = await self._commit(batch, lambda waiting: waiting.tenant in self._refused)
        if error is not None and len(batch) > 1 and not isinstance(error, errors.DatabaseUnavailable):
            error = await self._commit(batch, lambda _: True)  # one was refused: commit the others without it
        if isinstance(error, errors.DatabaseUnavailable):
            self._fail_all(batch, error)
        elif error is not None and len(batch) == 1:
            self._refuse(batch[0], error)
        elif error is not None:
            await self._commit_separately(batch)  # together they are refused, as their events

    async def _commit(self, batch: list[_Waiting], guarded: Callable[[_Waiting], bool]) -> BaseException | None:
        """Commit all units, besides those `guarded` ones that are refused; or return why nothing was written (or
        OutcomeUnknown if that cannot be determined)."""

        async def work(connection: Connection) -> list[Any]:
            results: list[Any] = []
            drafts: list[EventDraft] = []
            for waiting in batch:
                run = _run_guarded(connection, waiting.unit) if guarded(waiting) else waiting.unit(connection)
                try:
                    result, unit_drafts = await run
                except _Refused as refused:
                    results.append(refused)
                    continue
                results.append(result)
                drafts += unit_drafts
            numbers = await append(connection, drafts)
            number = numbers[-1] if numbers else 0
            return [result if isinstance(result, _Refused) else (result, number) for result in results]

        done = await asyncio.gather(self._database.run(work), return_exceptions=True)
        if isinstance(done[0], BaseException):
            return done[0]
        self._wake()
        for waiting, result in zip(batch, done[0], strict=True):
            if isinstance(result, _Refused):
                self._refuse(waiting, result.__cause__ or result)
            else:
                waiting.succeed(result)
        return None

    def _refuse(self, waiting: _Waiting, error: BaseException) -> None:
        self._refused[waiting.tenant] = time.monotonic() + REFUSED_S
        waiting.fail(error)

    async def _commit_separately(self, batch: list[_Waiting]) -> None:
        for number, waiting in enumerate(batch):
            error = await self._commit([waiting], lambda _: False)
            if isinstance(error, errors.DatabaseUnavailable):
                self._fail_all([waiting], error)
                self._fail_all(batch[number + 1 :], _nothing_written(error))
                return
            if error is not None:
                self._refuse(waiting, error)

    def _fail_all(self, batch: list[_Waiting], error: errors.DatabaseUnavailable) -> None:
        """The database is unavailable. Queued units would wait just as long, so they fail immediately, too; not after a
        unit that was alone, which may just have been too slow."""
        for waiting in batch:
            waiting.fail(error)
        if any(waiting.alone for waiting in batch):
            return
        for waiting in [*self._waiting.clear(), *self._alone.clear()]:
            waiting.fail(_nothing_written(error))


async def _run_guarded(connection: Connection, unit: Unit[T]) -> tuple[T, Sequence[EventDraft]]:
    """Run a unit in a savepoint. Raises _Refused when it is refused and nothing of it is left in the transaction."""
    try:
        async with connection.begin_nested():
            return await unit(connection)
    except faults.Fault as exc:
        error = faults.translate(exc)
        if isinstance(error, errors.DatabaseUnavailable):
            raise
        raise _Refused from error
    except errors.DatabaseUnavailable:
        raise
    except Exception as exc:
        raise _Refused from exc


def _nothing_written(error: errors.DatabaseUnavailable) -> errors.DatabaseUnavailable:
    """The error for units that were not part of the lost transaction: nothing of them was written."""
    return errors.DatabaseUnavailable(error.detail, retry_after_s=error.retry_after_s or faults.RETRY_AFTER_S)
