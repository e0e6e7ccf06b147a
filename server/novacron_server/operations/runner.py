"""Starts work, tracks it, ends it. Everything accepted is a committed row before anybody is told so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import uuid4

import structlog

from novacron_core import errors
from novacron_core.api.operations import Operation, OperationState
from novacron_core.rules.visibility import Principal
from novacron_server.database.faults import OutcomeUnknown
from novacron_server.database.transactions import Connection, Database
from novacron_server.operations import queries, repository
from novacron_server.operations.acceptance import Rows, accept, operation_event, refresh_targets, same_request
from novacron_server.operations.context import CompletedAnyway, OperationContext
from novacron_server.operations.outcomes import as_known_error, with_outcome
from novacron_server.operations.progress_writer import ProgressWriter
from novacron_server.operations.request import OperationRequest, fingerprint
from novacron_server.operations.retries import retry_while_database_down, retry_while_host_down
from novacron_server.outbox.group_commit import GroupCommit
from novacron_server.outbox.records import EventDraft
from novacron_server.outbox.repository import wait_for_open_transactions

_log = structlog.get_logger()
_CLEARING_S = 10.0
T = TypeVar("T")
Work = Callable[[OperationContext], Awaitable[None]]
Undo = Callable[["repository.Stored"], Awaitable[str]]
"""Settles work that failed or was cut off, from what was written ahead; returns what it found, as a sentence."""

Finish = Callable[["repository.Stored", OperationContext], Awaitable[str]]
"""Finishes work that a crash cut off; returns what it did, as a sentence."""


class Operations:
    """The runner. One asyncio task for each operation that runs. `remembered` serves reads without the database."""

    def __init__(
        self, database: Database, group_commit: GroupCommit, remembered: queries.Remembered = lambda: ()
    ) -> None:
        self._database = database
        self._group_commit = group_commit
        self._remembered = remembered
        self._progress_writer = ProgressWriter(group_commit)
        self._accepting: set[asyncio.Task[Any]] = set()
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self._runs: dict[str, OperationContext] = {}
        self._cancelling: dict[str, asyncio.Task[None]] = {}
        self._undo: dict[str, Undo] = {}
        self._finish: dict[str, Finish] = {}
        self._closing = False

    def undo_with(self, kind: str, undo: Undo) -> None:
        """How work of this kind is cleared away when it fails, is cancelled, or its server crashed."""
        self._undo[kind] = undo

    def finish_with(self, kind: str, finish: Finish) -> None:
        """How work of this kind is brought to its end when its server crashed: it was promised (G1). Must be
        harmless when all or nothing of it had been done."""
        self._finish[kind] = finish

    # -- accepting -------------------------------------------------------------------------------------------------

    async def repeated(self, principal: Principal, key: str, kind: str, body: dict[str, Any]) -> Operation | None:
        """What this key started before. Raises ValidationFailed when it was asked with other words."""
        if not key:
            return None
        stored = await self._database.run(lambda c: repository.by_key(c, principal, key), read_only=True)
        return same_request(stored, fingerprint(kind, body))

    async def start(self, request: OperationRequest, work: Work, rows: Rows | None = None) -> Operation:
        """Accept work: commit its row and everything that belongs to it, then run it.

        Raises Conflict naming the operation that holds the target, DatabaseUnavailable when nothing was promised.
        """
        operation = Operation(
            id=str(uuid4()),
            kind=request.kind,
            target=request.target,
            state=OperationState.RUNNING,
            created_at=datetime.now(UTC),
            started_at=datetime.now(UTC),
            tenant=request.tenant,
            actor=request.principal.username,
            may_cancel=request.may_cancel,
            locks=list(request.locks),
        )
        # What was accepted is begun even when who asked has gone meanwhile.
        return await asyncio.shield(self._kept(self._accept_and_begin(request, operation, work, rows)))

    async def _accept_and_begin(
        self, request: OperationRequest, operation: Operation, work: Work, rows: Rows | None
    ) -> Operation:
        try:
            accepted, pushed_aside = await self._group_commit.write(lambda c: accept(c, request, operation, rows))
        except OutcomeUnknown:
            self._kept(self._look_if_accepted(request, operation, work))
            raise
        if accepted.id == operation.id:
            if pushed_aside:
                self._cancel_task(pushed_aside)
            self._begin(request, operation, work)
        return accepted

    def _kept(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task that lives until it is done or the runner is closed."""
        task = asyncio.create_task(work)
        self._accepting.add(task)
        task.add_done_callback(self._accepting.discard)
        return task

    def _begin(self, request: OperationRequest, operation: Operation, work: Work) -> None:
        if self._closing:
            return  # who has the database next settles it
        self._tasks[operation.id] = asyncio.create_task(self._carry_out(request, operation, work), name=operation.kind)

    async def _look_if_accepted(self, request: OperationRequest, operation: Operation, work: Work) -> None:
        """The database went away during the COMMIT. If the row is there, it is a promise like any other: who asks
        again with the same key is told so, and without this nobody would carry it out."""

        async def look(connection: Connection) -> repository.Stored | None:
            await wait_for_open_transactions(connection)
            return await repository.get(connection, operation.id)

        stored = await retry_while_database_down("was it accepted", lambda: self._database.run(look))
        if stored is not None and not stored.operation.state.ended:
            self._begin(request, operation, work)

    # -- running ---------------------------------------------------------------------------------------------------

    async def _carry_out(self, request: OperationRequest, operation: Operation, work: Work) -> None:
        run = self._runs[operation.id] = OperationContext(
            operation, tell=self._progress_writer.tell, write_ahead=self._write_ahead
        )
        try:
            await self._work(run, work)
            await self._end(request.host_id, run.operation, OperationState.SUCCEEDED)
        except asyncio.CancelledError:
            if self._closing:
                raise  # the next server settles it
            await self._clear_away(run)  # whoever cancelled it writes its end
        except Exception as e:  # noqa: BLE001 - the runner: an operation always ends, whatever its work did
            error = as_known_error(operation, e)
            if isinstance(found := await self._clear_away(run), CompletedAnyway):
                error.detail = f"{error.detail}; {found}"
            await self._end(request.host_id, run.operation, OperationState.FAILED, error)
        finally:
            self._tasks.pop(operation.id, None)
            self._runs.pop(operation.id, None)

    @staticmethod
    async def _work(run: OperationContext, work: Work) -> None:
        """What follows must not be cut off: its end, which may be in the database already, or its clearing away."""
        try:
            await work(run)
        finally:
            run.close()

    async def _clear_away(self, run: OperationContext) -> str:
        """Returns what was found and done about it, as a sentence."""
        undo = self._undo.get(run.operation.kind)
        if undo is None:
            return ""

        async def clear() -> str:
            stored = await self._database.run(lambda c: repository.get(c, run.id), read_only=True)
            return await undo(stored) if stored else ""

        try:
            return await retry_while_host_down(run, lambda: retry_while_database_down("clearing away", clear))
        except errors.NovaCronError as e:
            # What is left carries the operation's mark; the reconciler finds it.
            _log.error("clearing away failed", operation=run.id, reason=e.detail)
            return ""

    async def _end(
        self,
        host_id: str | None,
        operation: Operation,
        state: OperationState,
        error: errors.NovaCronError | None = None,
    ) -> None:
        ended = with_outcome(operation, state, error)
        await self._until_saved(ended, [operation_event(ended, f"operation.{state}"), *refresh_targets(host_id, ended)])

    async def _until_saved(self, ended: Operation, drafts: list[EventDraft]) -> None:
        """The end of an operation is worth waiting for the database, however long that takes."""

        async def save(connection: Connection) -> tuple[None, list[EventDraft]]:
            return None, drafts if await repository.save(connection, ended) else []

        await retry_while_database_down(f"end of {ended.kind}", lambda: self._group_commit.write(save))

    async def _write_ahead(self, operation_id: str, steps: dict[str, Any]) -> None:
        """Waits for the database: what is not written ahead must not be made."""

        async def write(connection: Connection) -> tuple[None, list[EventDraft]]:
            await repository.write_ahead(connection, operation_id, steps)
            return None, []

        await retry_while_database_down("writing ahead", lambda: self._group_commit.write(write))

    # -- reading, cancelling, ending ---------------------------------------------------------------------------------

    async def get(self, principal: Principal, operation_id: str) -> Operation:
        """Raises NotFound, for another tenant's as for none."""
        return await queries.get(self._database, self._remembered, principal, operation_id)

    async def page(self, principal: Principal, q: str, page: int, page_size: int) -> tuple[list[Operation], int]:
        return await queries.page(self._database, self._remembered, principal, q, page, page_size)

    async def cancel(self, principal: Principal, operation_id: str) -> Operation:
        """Ask a running operation to stop. Raises Conflict when it has ended or cannot."""
        operation = await self.get(principal, operation_id)
        if operation.state.ended:
            raise errors.Conflict(f"it has {operation.state} already")
        # Who asks a second time waits for the same end.
        ending = self._cancelling.get(operation_id) or self._begin_cancelling(operation, principal.username)
        await asyncio.wait({ending}, timeout=_CLEARING_S)  # for longer where its host is away
        return await self.get(principal, operation_id)

    def _begin_cancelling(self, operation: Operation, by: str) -> asyncio.Task[None]:
        run = self._runs.get(operation.id)
        if run is None or not run.operation.may_cancel:
            raise errors.Conflict(f"{operation.kind} cannot be cancelled")
        run.close()
        task = self._tasks[operation.id]
        task.cancel()
        ending = self._cancelling[operation.id] = self._kept(self._end_cancelled(operation, task, by))
        ending.add_done_callback(lambda _: self._cancelling.pop(operation.id, None))
        return ending

    async def _end_cancelled(self, operation: Operation, task: asyncio.Task[None], by: str) -> None:
        await asyncio.gather(task, return_exceptions=True)
        await self._end(None, operation, OperationState.CANCELLED, errors.Conflict(f"cancelled by {by}"))

    def _cancel_task(self, operation_id: str) -> None:
        if task := self._tasks.get(operation_id):
            task.cancel()

    async def settle(self, stored: repository.Stored) -> None:
        """End what a server that went away left running: `interrupted`, with what was found and done about it."""
        operation = stored.operation
        if finish := self._finish.get(operation.kind):
            going = asyncio.create_task(self._go_on(finish, stored), name=operation.kind)
            self._tasks[operation.id] = going
            found = await going
        else:
            undo = self._undo.get(operation.kind)
            found = await undo(stored) if undo else "what it had changed is shown as it is"
        if found:
            await self.give_up(stored, found)

    async def _go_on(self, finish: Finish, stored: repository.Stored) -> str:
        """Empty when it was cancelled: whoever did that writes its end."""
        tell, write = self._progress_writer.tell, self._write_ahead
        run = OperationContext(stored.operation, tell=tell, write_ahead=write, steps=stored.steps)
        self._runs[run.id] = run
        try:
            return await finish(stored, run)
        except asyncio.CancelledError:
            if run.id not in self._cancelling:
                raise  # the server ends, and the next one settles it
            await self._clear_away(run)
            return ""
        finally:
            run.close()
            self._tasks.pop(run.id, None)
            self._runs.pop(run.id, None)

    async def give_up(self, stored: repository.Stored, found: str) -> None:
        """End what a server that went away left running, as it is."""
        error = errors.Internal(f"the server stopped while this ran: {found}")
        await self._end(stored.host_id, stored.operation, OperationState.INTERRUPTED, error)

    async def unended(self) -> list[repository.Stored]:
        """What a server that went away left running."""
        return await self._database.run(repository.unended, read_only=True)

    @property
    def busy(self) -> bool:
        return bool(self._tasks)

    async def halt(self) -> None:
        """Stop running work until `resume`; its rows stay unended, for who has the database next to settle."""
        await self._stop(self._tasks.values())

    def resume(self) -> None:
        self._closing = False

    async def close(self) -> None:
        """As `halt`, for good."""
        await self._stop([*self._tasks.values(), *self._accepting])

    async def _stop(self, tasks: Iterable[asyncio.Task[Any]]) -> None:
        self._closing, stopped = True, list(tasks)
        for task in stopped:
            task.cancel()
        await asyncio.gather(*stopped, return_exceptions=True)
        await self._progress_writer.close()
