"""Starts work, tracks it, ends it. Everything accepted is a committed row before anybody is told so."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec
import structlog

from novacron_core import errors
from novacron_core.api.operations import Operation, OperationState, Target
from novacron_core.rules.visibility import Principal, may_see
from novacron_server.database.engine import Connection, Database
from novacron_server.events.outbox import Draft, append
from novacron_server.inventory.changes import vm_touched
from novacron_server.operations import repository
from novacron_server.operations.run import Run

_log = structlog.get_logger()
Work = Callable[[Run], Awaitable[None]]
Undo = Callable[["repository.Stored"], Awaitable[str]]
"""Settles work that failed or was cut off, from what was written ahead; returns what it found, as a sentence."""
Rows = Callable[[Connection, Operation], Awaitable[list[Draft]]]
"""Writes what belongs to the operation in its own transaction and returns the events of that."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked: the kind of work, on what, by whom, and with what words (`body`, kept with the row)."""

    kind: str
    target: Target
    host_id: str
    tenant: str | None
    principal: Principal
    body: dict[str, Any] = field(default_factory=dict)
    idempotency_key: str = ""
    supersedes: Collection[str] = frozenset()
    may_cancel: bool = False

    @property
    def hash(self) -> str:
        return fingerprint(self.kind, self.body)


def fingerprint(kind: str, body: dict[str, Any]) -> str:
    """What makes two requests the same one, for an idempotency key."""
    return hashlib.sha256(msgspec.json.encode([kind, body], order="sorted")).hexdigest()


class Operations:
    """The runner. One asyncio task for each operation that runs."""

    def __init__(self, database: Database, ring: Callable[[], None]) -> None:
        self._database = database
        self._ring = ring
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._undo: dict[str, Undo] = {}
        self._closing = False

    def undo_with(self, kind: str, undo: Undo) -> None:
        """How work of this kind is cleared away when it fails, is cancelled, or its server crashed."""
        self._undo[kind] = undo

    # -- accepting -------------------------------------------------------------------------------------------------

    async def repeated(self, principal: Principal, key: str, kind: str, body: dict[str, Any]) -> Operation | None:
        """What this key started before. Raises ValidationFailed when it was asked with other words."""
        if not key:
            return None
        request_hash = fingerprint(kind, body)
        stored = await self._database.run(lambda c: repository.by_key(c, principal, key), read_only=True)
        return _same_request(stored, request_hash)

    async def start(self, request: Request, work: Work, rows: Rows | None = None) -> Operation:
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
        )
        accepted, pushed_aside = await self._database.run(lambda c: self._accept(c, request, operation, rows))
        self._ring()
        if accepted.id == operation.id:
            if pushed_aside:
                self._cancel_task(pushed_aside)
            self._tasks[operation.id] = asyncio.create_task(
                self._carry_out(request, operation, work), name=operation.kind
            )
        return accepted

    async def _accept(
        self, connection: Connection, request: Request, operation: Operation, rows: Rows | None
    ) -> tuple[Operation, str | None]:
        """In one transaction: (the operation that holds now, the id of one that was pushed aside)."""
        if request.idempotency_key:
            stored = await repository.by_key(connection, request.principal, request.idempotency_key)
            if before := _same_request(stored, request.hash):
                return before, None
        drafts: list[Draft] = []
        pushed_aside = await self._push_aside(connection, request, operation, drafts)
        written = await repository.add(
            connection,
            operation,
            host_id=request.host_id,
            principal=request.principal,
            request=request.body,
            idempotency_key=request.idempotency_key,
            request_hash=request.hash,
        )
        if not written:
            # Another request came first, between our look and our insert: it holds the target or the key.
            raise errors.Conflict(
                f"{request.target.name} is busy: another change was accepted just now", retry_after_s=1
            )
        drafts += await rows(connection, operation) if rows else []
        drafts += [_told(operation, "operation.created"), *_touch(request.host_id, operation)]
        await append(connection, drafts)
        return operation, pushed_aside

    async def _push_aside(
        self, connection: Connection, request: Request, operation: Operation, drafts: list[Draft]
    ) -> str | None:
        held = await repository.holder(connection, request.target)
        if held is None:
            return None
        if held.operation.kind not in request.supersedes:
            actor = held.operation.actor or "somebody"
            raise errors.Conflict(
                f"{request.target.name} is busy: {held.operation.kind} by {actor} is running (operation {held.operation.id})"
            )
        problem = errors.Conflict(f"superseded by {request.kind} of {operation.actor}").problem()
        ended = msgspec.structs.replace(
            held.operation,
            state=OperationState.CANCELLED,
            problem=problem,
            finished_at=datetime.now(UTC),
            may_cancel=False,
        )
        await repository.save(connection, ended)
        drafts.append(_told(ended, "operation.cancelled"))
        return ended.id

    # -- running ---------------------------------------------------------------------------------------------------

    async def _carry_out(self, request: Request, operation: Operation, work: Work) -> None:
        run = Run(operation, tell=lambda value: self._tell(value), write_ahead=self._write_ahead)
        try:
            await work(run)
            await self._end(request.host_id, run.operation, OperationState.SUCCEEDED)
        except asyncio.CancelledError:
            if self._closing:
                raise  # the next server settles it
            await self._clear_away(operation)  # whoever cancelled it writes its end
        except Exception as e:  # noqa: BLE001 - the runner: an operation always ends, whatever its work did
            error = self._known(operation, e)
            await self._clear_away(operation)
            await self._end(request.host_id, run.operation, OperationState.FAILED, error)
        finally:
            self._tasks.pop(operation.id, None)

    @staticmethod
    def _known(operation: Operation, error: Exception) -> errors.NovaCronError:
        if isinstance(error, errors.NovaCronError):
            return error
        _log.error("operation broke", operation=operation.id, kind=operation.kind, exc_info=error)
        return errors.Internal("the server made a mistake; its log says which")

    async def _clear_away(self, operation: Operation) -> None:
        undo = self._undo.get(operation.kind)
        if undo is None:
            return
        try:
            stored = await self._database.run(lambda c: repository.get(c, operation.id), read_only=True)
            if stored:
                await undo(stored)
        except errors.NovaCronError as e:
            # What is left carries the operation's mark; the reconciler finds it.
            _log.error("clearing away failed", operation=operation.id, reason=e.detail)

    async def _end(
        self,
        host_id: str | None,
        operation: Operation,
        state: OperationState,
        error: errors.NovaCronError | None = None,
    ) -> None:
        ended = msgspec.structs.replace(
            operation,
            state=state,
            problem=error.problem() if error else None,
            progress=1.0 if state is OperationState.SUCCEEDED else operation.progress,
            finished_at=datetime.now(UTC),
            may_cancel=False,
            rate=None,
            eta_s=None,
        )
        await self._until_saved(ended, [_told(ended, f"operation.{state}"), *_touch(host_id, ended)])

    async def _until_saved(self, ended: Operation, drafts: list[Draft]) -> None:
        """The end of an operation is worth waiting for the database, however long that takes."""
        while True:
            try:
                await self._database.run(lambda c: self._save(c, ended, drafts))
                break
            except errors.DatabaseUnavailable as e:
                _log.warning("the end of an operation waits for the database", operation=ended.id, reason=e.detail)
                await asyncio.sleep(1.0)
        self._ring()

    async def _tell(self, operation: Operation) -> None:
        await self._database.run(lambda c: self._save(c, operation, [_told(operation, "operation.updated")]))
        self._ring()

    @staticmethod
    async def _save(connection: Connection, operation: Operation, drafts: list[Draft]) -> None:
        if await repository.save(connection, operation):
            await append(connection, drafts)

    async def _write_ahead(self, operation_id: str, steps: dict[str, Any]) -> None:
        await self._database.run(lambda c: repository.write_ahead(c, operation_id, steps))

    # -- reading, cancelling, ending ---------------------------------------------------------------------------------

    async def get(self, principal: Principal, operation_id: str) -> Operation:
        """Raises NotFound, for another tenant's as for none."""
        stored = await self._database.run(lambda c: repository.get(c, operation_id), read_only=True)
        if stored is None or not may_see(principal, stored.operation.tenant):
            raise errors.NotFound("there is no such operation")
        return stored.operation

    async def page(self, principal: Principal, q: str, page: int, page_size: int) -> tuple[list[Operation], int]:
        words = q.split()
        offset = (page - 1) * page_size
        return await self._database.run(
            lambda c: repository.page(c, principal, words, offset, page_size), read_only=True
        )

    async def cancel(self, principal: Principal, operation_id: str) -> Operation:
        """Ask a running operation to stop. Raises Conflict when it has ended or cannot."""
        operation = await self.get(principal, operation_id)
        if operation.state.ended:
            raise errors.Conflict(f"it has {operation.state} already")
        if not operation.may_cancel or operation_id not in self._tasks:
            raise errors.Conflict(f"{operation.kind} cannot be cancelled")
        task = self._tasks[operation_id]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        error = errors.Conflict(f"cancelled by {principal.username}")
        await self._end(None, operation, OperationState.CANCELLED, error)
        return await self.get(principal, operation_id)

    def _cancel_task(self, operation_id: str) -> None:
        if task := self._tasks.get(operation_id):
            task.cancel()

    async def settle(self, stored: repository.Stored) -> None:
        """End what a server that went away left running: `interrupted`, with what was found and done about it."""
        undo = self._undo.get(stored.operation.kind)
        found = await undo(stored) if undo else "what it had changed is shown as it is"
        error = errors.Internal(f"the server stopped while this ran: {found}")
        await self._end(stored.host_id, stored.operation, OperationState.INTERRUPTED, error)

    async def unended(self) -> list[repository.Stored]:
        """What a server that went away left running."""
        return await self._database.run(repository.unended, read_only=True)

    @property
    def busy(self) -> bool:
        return bool(self._tasks)

    async def close(self) -> None:
        """Stop running work; its rows stay unended, for the next server to settle."""
        self._closing = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _same_request(stored: repository.Stored | None, request_hash: str) -> Operation | None:
    if stored is None:
        return None
    if stored.request_hash != request_hash:
        raise errors.ValidationFailed("this Idempotency-Key was used for another request")
    return stored.operation


def _told(operation: Operation, kind: str) -> Draft:
    return Draft(
        type=kind,
        source="operations",
        target=Target(type="operation", id=operation.id, name=operation.kind),
        tenant=operation.tenant,
        row=msgspec.to_builtins(operation),
        note=operation.problem.detail if operation.problem else operation.step,
    )


def _touch(host_id: str | None, operation: Operation) -> list[Draft]:
    """A VM is shown with its operation: when that comes or goes, the VM is told again."""
    if operation.target.type != "vm" or host_id is None:
        return []
    return [vm_touched(host_id, operation.target.id, operation.target.name, operation.tenant)]
