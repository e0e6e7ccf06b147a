"""Writes the progress of operations in batches, because commits with events wait for the disk and for each other."""

from __future__ import annotations

import asyncio
from contextvars import Context

import structlog

from novacron_core import errors
from novacron_core.api.operations import Operation
from novacron_server.database.transactions import Connection
from novacron_server.operations import repository
from novacron_server.operations.acceptance import operation_event
from novacron_server.outbox.group_commit import GroupCommit
from novacron_server.outbox.records import EventDraft
from novacron_server.tasks import cancel_tasks

_log = structlog.get_logger()


class ProgressWriter:
    """Commits the newest value of each running operation; values published during a commit wait for the next one.

    A step that cannot be written is not retried, because the next step or the end supersedes it.
    """

    def __init__(self, group_commit: GroupCommit) -> None:
        self._group_commit = group_commit
        self._waiting: dict[str, Operation] = {}
        self._task: asyncio.Task[None] | None = None

    async def publish(self, operation: Operation) -> None:
        """Queue the operation's value. Returns at once."""
        self._waiting[operation.id] = operation
        if self._task is None or self._task.done():
            # Not in the context of the first operation, which is not that of the others.
            self._task = asyncio.create_task(self._run(), name="progress writer", context=Context())

    async def close(self) -> None:
        await cancel_tasks([self._task])

    async def _run(self) -> None:
        while self._waiting:
            batch, self._waiting = list(self._waiting.values()), {}
            try:
                await self._group_commit.write(lambda c, b=batch: _save(c, b))  # type: ignore[misc]
            except errors.NovaCronError as e:  # the next value of each replaces it
                _log.warning("progress was not written", operations=len(batch), reason=e.detail)


async def _save(connection: Connection, operations: list[Operation]) -> tuple[None, list[EventDraft]]:
    """Save in the order of the ids, so that two batches cannot deadlock."""
    ordered = sorted(operations, key=lambda operation: operation.id)
    saved = [operation for operation in ordered if await repository.save(connection, operation)]
    return None, [operation_event(operation, "operation.updated") for operation in saved]
