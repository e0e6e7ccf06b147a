"""Repeats the undo of operations that have ended although their undo failed, until it succeeds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

import structlog

from novacron_core import errors
from novacron_core.api.operations import Target
from novacron_server.database.transactions import Connection, Database
from novacron_server.operations import repository
from novacron_server.operations.procedures import Procedures
from novacron_server.operations.repository import StoredOperation
from novacron_server.operations.retries import retry_until_done
from novacron_server.tasks import repeat

_log = structlog.get_logger()
EVERY_S = 30.0
_MARK = "undo_due"
"""The mark in the journal of an operation whose undo is pending."""
_OLD_MARK = "undone_later"
"""The mark that earlier versions wrote for creations of VMs."""


class PendingUndos:
    """`run` is a background task. `accepted` waits until the operations that are being accepted now are."""

    def __init__(self, database: Database, procedures: Procedures, accepted: Callable[[], Awaitable[None]]) -> None:
        self._database = database
        self._procedures = procedures
        self._accepted = accepted
        self._undoing: set[str] = set()
        """Ids of the targets whose failed operation is being undone now."""
        self._logged: dict[str, str] = {}

    async def mark(self, operation_id: str) -> None:
        """Note that the undo of this operation must be repeated. It is stored, however long the database is down."""
        await self._set(operation_id, **{_MARK: True})

    def check_free(self, targets: Iterable[Target]) -> None:
        """Raises Conflict while what an operation left on one of these targets is being undone."""
        for target in targets:
            if target.id in self._undoing:
                detail = f"{target.name} is busy: NovaCron is removing what a failed change left"
                raise errors.Conflict(detail, retry_after_s=1)

    async def run(self) -> None:
        """Repeat pending undos until cancelled."""
        await repeat(EVERY_S, "pending undos", self.once)

    async def once(self) -> None:
        """Try each pending undo once. Raises DatabaseUnavailable."""
        if self._database.refusal:
            raise errors.DatabaseUnavailable(self._database.refusal)
        for stored in await self.all():
            operation = stored.operation
            try:
                await self._undo(stored)
            except errors.DatabaseUnavailable:
                raise
            except Exception as e:  # noqa: BLE001 - one that fails must not keep the others from being undone (G14)
                if self._logged.get(operation.id) != str(e):
                    self._logged[operation.id] = str(e)
                    known = isinstance(e, errors.NovaCronError)
                    _log.error("undo failed", operation=operation.id, reason=str(e), exc_info=None if known else e)

    async def all(self) -> list[StoredOperation]:
        """The operations whose undo is pending."""

        async def read(connection: Connection) -> list[StoredOperation]:
            return [stored for mark in (_MARK, _OLD_MARK) for stored in await repository.marked(connection, mark)]

        return await self._database.run(read, read_only=True)

    async def _undo(self, stored: StoredOperation) -> None:
        operation = stored.operation
        targets = {target.id for target in (operation.target, *operation.locks)}
        procedure = self._procedures[operation.kind]
        self._undoing |= targets  # from now on, no operation on them is accepted
        try:
            await self._accepted()
            if await self._are_locked(targets):
                return
            found = await procedure.undo(procedure.read(stored))
        finally:
            self._undoing -= targets
        await self._set(operation.id, **{_MARK: False, _OLD_MARK: False})
        self._logged.pop(operation.id, None)
        _log.info("a pending undo succeeded", operation=operation.id, found=found)

    async def _are_locked(self, targets: set[str]) -> bool:
        unended = await self._database.run(repository.unended, read_only=True)
        locked = (target.id for stored in unended for target in (stored.operation.target, *stored.operation.locks))
        return not targets.isdisjoint(locked)

    async def _set(self, operation_id: str, **marks: bool) -> None:
        write = lambda: self._database.run(lambda c: repository.mark(c, operation_id, **marks))  # noqa: E731
        await retry_until_done("marking a pending undo", write)
