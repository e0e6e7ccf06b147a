"""Accepts operations, runs their procedures and ends them. Nothing is acknowledged before its row is committed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import uuid4

import msgspec
import structlog

from novacron_core import errors
from novacron_core.api.audit import AuditResult
from novacron_core.api.operations import Operation, OperationState
from novacron_core.rules.operation_words import noun
from novacron_core.rules.visibility import Principal
from novacron_core.values.operation_kinds import OperationKind
from novacron_server.audit import repository as audit
from novacron_server.audit.records import Actor, AuditDraft, acting, chain_of
from novacron_server.database.faults import OutcomeUnknown
from novacron_server.database.transactions import Connection, Database
from novacron_server.inventory.state import InventoryState
from novacron_server.operations import queries, repository
from novacron_server.operations.acceptance import accept, find_by_key, operation_event, refresh_targets
from novacron_server.operations.context import (
    CompletedAnyway,
    OperationContext,
    PartlyRefused,
    StoppedEarly,
    UndoFinding,
)
from novacron_server.operations.endings import Endings
from novacron_server.operations.journal import Journal
from novacron_server.operations.outcomes import as_known_error, with_outcome
from novacron_server.operations.pending_undos import PendingUndos
from novacron_server.operations.procedures import Procedure, Procedures
from novacron_server.operations.progress_writer import ProgressWriter
from novacron_server.operations.retries import retry_until_done, retry_while_database_down, retry_while_host_down
from novacron_server.operations.submission import Admission, Decide, OperationRequest, Submission
from novacron_server.outbox.group_commit import GroupCommit
from novacron_server.outbox.records import EventDraft
from novacron_server.outbox.repository import wait_for_open_transactions
from novacron_server.places import ACTS_FOR
from novacron_server.tasks import cancel_tasks

_log = structlog.get_logger()
_CANCEL_WAIT_S = 10.0
T = TypeVar("T")


class Operations:
    """Runs each operation in its own asyncio task. `inventory` serves reads while the database is down."""

    def __init__(
        self,
        database: Database,
        group_commit: GroupCommit,
        procedures: Procedures,
        inventory: InventoryState,
        endings: Endings,
        admission: Admission,
    ) -> None:
        """`admission` is asked for callers that are limited to some VMs."""
        self.procedures = procedures
        self._database = database
        self._group_commit = group_commit
        self._inventory = inventory
        self._endings = endings
        self._admission = admission
        self._progress_writer = ProgressWriter(group_commit)
        self._accepting: set[asyncio.Task[Any]] = set()
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self._contexts: dict[str, OperationContext[Any]] = {}
        self._cancelling: dict[str, asyncio.Task[None]] = {}
        self.pending_undos = PendingUndos(database, procedures, self._accepted)
        self._closing = False

    # -- accepting -------------------------------------------------------------------------------------------------

    async def submit(
        self,
        kind: OperationKind,
        principal: Principal,
        key: str,
        body: dict[str, Any],
        decide: Decide,
        *,
        parent: str | None = None,
    ) -> Operation:
        """Accept a change: commit its row and everything that belongs to it, then run it.

        `decide` makes the service's checks. `key` is the idempotency key, empty for none: a repeated request returns
        the operation that the first one started, even if it would be refused by now. Raises what `decide` raises,
        Conflict naming the operation that locks the target, ValidationFailed for a key that was used for another
        request, DatabaseUnavailable when nothing was acknowledged. `parent` is the bulk that submits it.
        """
        request = OperationRequest(kind, principal, body, key, parent, acting(principal))
        if principal.vm_filter:
            self._admission.check_kind(principal, kind)
        try:
            submission = await decide()
        except errors.NovaCronError:
            # Not checked before `decide`, because that would cost every request a query.
            if earlier := await self._find_by_key(request):
                return earlier
            raise
        # An accepted operation is started even if the client has disconnected meanwhile.
        return await asyncio.shield(self._track(self._accept_and_start(request, submission)))

    async def _find_by_key(self, request: OperationRequest) -> Operation | None:
        if not request.key:
            return None
        return await self._database.run(lambda c: find_by_key(c, request), read_only=True)

    async def _accept_and_start(self, request: OperationRequest, submission: Submission[Any]) -> Operation:
        procedure, now = self.procedures[request.kind], datetime.now(UTC)
        self.pending_undos.check_free((submission.target, *submission.locks))
        operation = Operation(
            id=str(uuid4()),
            kind=request.kind,
            target=submission.target,
            state=OperationState.RUNNING,
            created_at=now,
            started_at=now,
            tenant=submission.tenant,
            actor=request.principal.username,
            may_cancel=procedure.may_cancel,
            locks=list(submission.locks),
            parent=request.parent,
            counts=submission.counts,
            child_kind=request.body.get(repository.CHILD_KIND, ""),
            api_token=request.principal.limited_token,
        )
        entry = Journal(operation, submission.host_id or "", request.body, submission.steps)
        try:
            (accepted, superseded), seq = await self._group_commit.write_numbered(
                lambda c: accept(c, procedure, request, submission, operation, self._admission),
                alone=submission.alone,
            )
        except OutcomeUnknown:
            self._track(self._start_if_accepted(procedure, entry))
            raise
        if accepted.id == operation.id:
            if superseded:
                self._cancel_task(superseded)
                self._endings.announce(superseded)
            self._start(procedure, replace(entry, accepted_seq=seq))
        return accepted

    def _track(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a task that lives until it is done or the runner is closed."""
        task = asyncio.create_task(work)
        self._accepting.add(task)
        task.add_done_callback(self._accepting.discard)
        return task

    async def _accepted(self) -> None:
        """Wait until the operations that are being accepted now are."""
        await asyncio.gather(*self._accepting, return_exceptions=True)

    def _start(self, procedure: Procedure[Any], entry: Journal[Any]) -> None:
        if self._closing:
            return  # the next server recovers it
        self._tasks[entry.operation.id] = asyncio.create_task(self._run(procedure, entry), name=entry.operation.kind)

    async def _start_if_accepted(self, procedure: Procedure[Any], entry: Journal[Any]) -> None:
        """After a connection loss during the COMMIT, or a transaction that took too long, run the operation if its row
        exists: a repeated request with the same key would return it, and nothing else would run it."""
        await self._group_commit.settle()

        async def read(connection: Connection) -> repository.StoredOperation | None:
            await wait_for_open_transactions(connection)
            return await repository.get(connection, entry.operation.id)

        stored = await retry_until_done("was it accepted", lambda: self._database.run(read))
        if stored is not None and not stored.operation.state.ended:
            self._start(procedure, entry)

    # -- running ---------------------------------------------------------------------------------------------------

    def _context(self, entry: Journal[Any]) -> OperationContext[Any]:
        context: OperationContext[Any] = OperationContext(
            entry, publish=self._progress_writer.publish, commit_steps=self._commit_steps
        )
        self._contexts[context.id] = context
        return context

    async def _run(self, procedure: Procedure[Any], entry: Journal[Any]) -> None:
        ACTS_FOR.set(entry.operation.tenant or "")
        context = self._context(entry)
        try:
            await self._run_procedure(procedure, context)
        except asyncio.CancelledError:
            if self._closing:
                raise  # the next server recovers it
            await self._undo(procedure, context)  # the task that cancelled it writes its end
        except StoppedEarly as e:
            await self._end(context.host_id, context.operation, OperationState.CANCELLED, errors.Conflict(str(e)))
        except PartlyRefused as e:
            await self._end(context.host_id, context.operation, OperationState.REFUSED, errors.Conflict(str(e)))
        except Exception as e:  # noqa: BLE001 - an operation always ends, whatever its procedure raises
            error = as_known_error(context.operation, e)
            found = await self._undo(procedure, context)
            completed = isinstance(found, CompletedAnyway)
            if isinstance(found, UndoFinding):
                error.detail = f"{error.detail}; {found}"
            await self._end(context.host_id, context.operation, OperationState.FAILED, error, completed=completed)
        else:  # outside of the try: an end that cannot be written yet is not a failure of the work
            await self._end(context.host_id, context.operation, OperationState.SUCCEEDED)
        finally:
            self._tasks.pop(context.id, None)
            self._contexts.pop(context.id, None)

    @staticmethod
    async def _run_procedure(procedure: Procedure[Any], context: OperationContext[Any]) -> None:
        """Run it, then forbid cancelling: its end may be committed already, and its undo must not be interrupted."""
        try:
            await procedure.run(context)
        finally:
            context.close()

    async def _undo(self, procedure: Procedure[Any], context: OperationContext[Any]) -> str:
        """Undo the operation. Returns what was found and done, as a sentence."""
        if not procedure.can_undo:
            return ""

        async def undo() -> str:
            stored = await self._database.run(lambda c: repository.get(c, context.id), read_only=True)
            return await procedure.undo(procedure.read(stored)) if stored else ""

        try:
            return await retry_while_host_down(context, lambda: retry_while_database_down("undo", undo))
        except Exception as e:  # noqa: BLE001 - the operation must end anyway
            known = isinstance(e, errors.NovaCronError)
            _log.error("undo failed", operation=context.id, reason=str(e), exc_info=None if known else e)
            await self.pending_undos.mark(context.id)
            return ""

    async def _end(
        self,
        host_id: str | None,
        operation: Operation,
        state: OperationState,
        error: errors.NovaCronError | None = None,
        *,
        completed: bool = False,
    ) -> None:
        ended = with_outcome(operation, state, error, completed=completed)
        await self._save_end(ended, [operation_event(ended, f"operation.{state}"), *refresh_targets(host_id, ended)])

    async def _save_end(self, ended: Operation, drafts: list[EventDraft]) -> None:
        """Save the end of an operation, however long the database is down or refuses it."""

        async def save(connection: Connection) -> tuple[None, list[EventDraft]]:
            return None, drafts if await repository.save(connection, ended) else []

        await retry_until_done(f"end of {ended.kind}", lambda: self._group_commit.write(save))
        self._endings.announce(ended.id)

    async def _commit_steps(self, operation_id: str, steps: dict[str, Any]) -> None:
        """Commit the journal, waiting for the database: a step that is not in the journal must not be done."""

        async def write_steps(connection: Connection) -> tuple[None, list[EventDraft]]:
            await repository.write_ahead(connection, operation_id, steps)
            return None, []

        await retry_while_database_down("writing ahead", lambda: self._group_commit.write(write_steps))

    # -- reading and cancelling --------------------------------------------------------------------------------------

    async def get(self, principal: Principal, operation_id: str) -> Operation:
        """Raises NotFound, for another tenant's operation as for a missing one."""
        return await queries.get(self._database, self._inventory, principal, operation_id)

    async def page(self, principal: Principal, q: str, page: int, page_size: int) -> tuple[list[Operation], int]:
        """Return (one page, the total number), newest first. Each word of `q` must match."""
        return await queries.page(self._database, self._inventory, principal, q, page, page_size)

    async def cancel(self, principal: Principal, operation_id: str) -> Operation:
        """Cancel a running operation. Raises NotFound, Conflict when it has ended or cannot be cancelled."""
        operation = await self.get(principal, operation_id)
        if operation.state.ended:
            raise errors.Conflict(f"the operation has already ended ({operation.state})")
        if operation_id not in self._cancelling:
            context = self._cancellable(operation)
            await self._record_cancel(operation, acting(principal))
            if context.operation.may_cancel and await self._stop_early(context, principal.username):
                return context.operation
        # A second request waits for the same end.
        ending = self._cancelling.get(operation_id) or self._begin_cancelling(operation, principal.username)
        await asyncio.wait({ending}, timeout=_CANCEL_WAIT_S)  # it takes longer if the host does not respond
        return await self.get(principal, operation_id)

    async def _stop_early(self, context: OperationContext[Any], by: str) -> bool:
        """Whether the procedure stops by itself."""
        return await self.procedures[context.operation.kind].stop(context, f"cancelled by {by}")

    def _cancellable(self, operation: Operation) -> OperationContext[Any]:
        context = self._contexts.get(operation.id)
        if context is None or not context.operation.may_cancel:
            raise errors.Conflict(f"{noun(operation.kind)} cannot be cancelled at this step")
        return context

    async def _record_cancel(self, operation: Operation, by: Actor) -> None:
        """Record it in the audit log before it is done: what follows is no transaction."""
        entry = AuditDraft(
            tenant=chain_of(operation.tenant),
            action="operation.cancel",
            target=operation.target,
            result=AuditResult.ACCEPTED,
            actor=by,
            status=202,
            detail=f"{operation.kind}, operation {operation.id}",
        )
        await self._database.run(lambda c: audit.write(c, [entry]))

    def _begin_cancelling(self, operation: Operation, by: str) -> asyncio.Task[None]:
        context = self._cancellable(operation)
        context.close()
        task = self._tasks[operation.id]
        task.cancel()
        end = self._end_cancelled(context.host_id, context.operation, task, by)
        ending = self._cancelling[operation.id] = asyncio.create_task(end)
        ending.add_done_callback(lambda _: self._cancelling.pop(operation.id, None))
        return ending

    async def _end_cancelled(self, host_id: str, operation: Operation, task: asyncio.Task[None], by: str) -> None:
        await asyncio.gather(task, return_exceptions=True)
        await self._end(host_id, operation, OperationState.CANCELLED, errors.Conflict(f"cancelled by {by}"))

    def _cancel_task(self, operation_id: str) -> None:
        if task := self._tasks.get(operation_id):
            task.cancel()

    # -- after a crash, and at the end -----------------------------------------------------------------------------

    async def recover(self, stored: repository.StoredOperation) -> None:
        """Resume or undo an operation that the last server left running, and end it as `interrupted`."""
        if stored.operation.kind not in self.procedures:
            await self.end_interrupted(stored, "this version does not know this kind of operation")
            return
        procedure = self.procedures[stored.operation.kind]
        try:
            entry = procedure.read(stored)
        except msgspec.ValidationError as e:
            _log.error("unreadable journal", operation=stored.operation.id, reason=str(e))
            await self.end_interrupted(stored, "its journal cannot be read, so its changes were kept as they are")
            return
        if procedure.continues:
            self._start(procedure, entry)
            return
        if procedure.can_resume:
            resuming = asyncio.create_task(self._resume(procedure, entry), name=stored.operation.kind)
            self._tasks[stored.operation.id] = resuming
            found = await resuming
        else:
            found = await procedure.undo(entry)
        if found:
            await self.end_interrupted(stored, found)

    async def _resume(self, procedure: Procedure[Any], entry: Journal[Any]) -> str:
        """Returns what was found and done; empty if it was cancelled, because the cancelling task writes its end."""
        ACTS_FOR.set(entry.operation.tenant or "")
        context = self._context(entry)
        try:
            return await procedure.resume(context)
        except asyncio.CancelledError:
            if context.id not in self._cancelling:
                raise  # the server is stopping, and the next one recovers it
            await self._undo(procedure, context)
            return ""
        finally:
            context.close()
            self._tasks.pop(context.id, None)
            self._contexts.pop(context.id, None)

    async def end_interrupted(self, stored: repository.StoredOperation, found: str) -> None:
        """End an operation that the last server left running. `found` is what was found, as a sentence."""
        error = errors.Internal(f"the server stopped during the operation: {found}")
        completed = isinstance(found, CompletedAnyway)
        await self._end(stored.host_id, stored.operation, OperationState.INTERRUPTED, error, completed=completed)

    async def give_up_recovery(self, stored: repository.StoredOperation, why: str) -> None:
        """End an operation whose recovery is refused, so that its targets can be changed. Its undo stays pending."""
        if stored.operation.kind in self.procedures and self.procedures[stored.operation.kind].can_undo:
            await self.pending_undos.mark(stored.operation.id)
            why = f"{why}; NovaCron keeps trying to remove what is left of it"
        await self.end_interrupted(stored, f"it could not be recovered: {why}")

    async def unended(self) -> list[repository.StoredOperation]:
        """The operations that the last server left running."""
        return await self._database.run(repository.unended, read_only=True)

    @property
    def busy(self) -> bool:
        """Whether an operation is running."""
        return bool(self._tasks)

    async def halt(self) -> None:
        """Stop running operations until `proceed`. Their rows stay unended, for the next server."""
        await self._stop(self._tasks.values())

    def proceed(self) -> None:
        """Run operations again after `halt`."""
        self._closing = False

    async def close(self) -> None:
        """Like `halt`, but permanently."""
        await self._stop([*self._tasks.values(), *self._accepting, *self._cancelling.values()])

    async def _stop(self, tasks: Iterable[asyncio.Task[Any]]) -> None:
        self._closing = True
        await cancel_tasks(tasks)
        await self._progress_writer.close()
