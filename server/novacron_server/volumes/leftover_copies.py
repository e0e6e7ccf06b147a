"""Copies that could not be removed when their operation failed, because their pool or host was gone: removed later."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from itertools import chain, repeat
from typing import Any

import msgspec
import structlog

from novacron_core import errors
from novacron_server.database.transactions import Database
from novacron_server.inventory.inventory import Inventory
from novacron_server.operations import journal, repository
from novacron_server.operations.journal import Journal
from novacron_server.operations.retries import retry_while_database_down
from novacron_server.tasks import cancel_tasks
from novacron_server.volumes.copy import CopyRecord, CopySteps, discard

_log = structlog.get_logger()
PAUSES_S = (0.5, 1.0, 2.0, 5.0, 30.0)
"""Between two attempts at a pool that is on and refuses."""


class LeftoverCopies:
    """What is left is marked in its operation's journal, so that a later server knows it too."""

    def __init__(self, database: Database, inventory: Inventory) -> None:
        self._database = database
        self._inventory = inventory
        self._left: dict[str, Journal[CopySteps]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        inventory.storage_read.listen(self._storage_read)

    async def load(self) -> None:
        """Start from what earlier servers left."""
        found = await self._database.run(lambda c: repository.marked(c, "left"), read_only=True)
        self._left = {entry.operation.id: entry for entry in journal.read_all(found, CopySteps)}

    async def close(self) -> None:
        await cancel_tasks(self._tasks.values())

    async def discard(self, entry: Journal[Any]) -> str:
        """Remove what a copy that is not used had made, now or later. Returns a sentence when it is later."""
        try:
            await discard(self._inventory.host(entry.host_id), entry.steps.copy)
        except errors.NovaCronError as e:
            return await self._remember(entry, e)
        return ""

    async def remove_later(self, operation_id: str, copy: CopyRecord, why: errors.NovaCronError) -> str:
        """Remove a copy that is of no use any more when that can be done. Returns a sentence."""
        read = lambda: self._database.run(lambda c: repository.get(c, operation_id), read_only=True)  # noqa: E731
        stored = await retry_while_database_down("marking what is left", read)
        if stored is None:
            return ""
        entry = journal.read(stored, CopySteps)
        raw = {**stored.steps, "copy": msgspec.to_builtins(copy)}
        write = lambda: self._database.run(lambda c: repository.write_ahead(c, operation_id, raw))  # noqa: E731
        await retry_while_database_down("marking what is left", write)
        return await self._remember(replace(entry, steps=msgspec.structs.replace(entry.steps, copy=copy)), why)

    async def _remember(self, entry: Journal[CopySteps], why: errors.NovaCronError) -> str:
        _log.warning("a copy stays for now", operation=entry.operation.id, reason=why.detail)
        await self._mark(entry, True)
        self._left[entry.operation.id] = entry
        return f"the rest of the copy is removed when its pool is back ({why.detail})"

    def _storage_read(self, host_id: str) -> None:
        if host_id not in self._tasks and self._waiting(host_id):
            self._tasks[host_id] = asyncio.create_task(self._clear(host_id), name="leftovers")

    def _waiting(self, host_id: str) -> list[Journal[CopySteps]]:
        return [entry for entry in self._left.values() if entry.host_id == host_id and self._can_remove(entry)]

    def _can_remove(self, entry: Journal[CopySteps]) -> bool:
        if self._database.refusal or entry.steps.copy is None:  # another server does it
            return False
        pool = self._inventory.state.storage.pools_on(entry.host_id).get(entry.steps.copy.pool)
        return pool is not None and pool.active

    async def _clear(self, host_id: str) -> None:
        """Until nothing is left in pools that are on. A pool that came or went may be noticed late."""
        pauses = chain(PAUSES_S, repeat(PAUSES_S[-1]))
        try:
            while waiting := self._waiting(host_id):
                await self._remove(waiting)
                with suppress(errors.HostUnavailable):  # everything is read when it is back
                    await self._inventory.refresh_volumes(host_id)
                if self._waiting(host_id):
                    await asyncio.sleep(next(pauses))
        finally:
            del self._tasks[host_id]  # at once: the next read must not meet a task that has done its work

    async def _remove(self, waiting: list[Journal[CopySteps]]) -> None:
        for entry in waiting:
            copy = entry.steps.copy or CopyRecord(pool="", name="")
            key = (entry.host_id, copy.pool, copy.name)
            try:
                if key not in self._inventory.state.storage.volume_rows:  # else another volume has the name by now
                    await discard(self._inventory.host(entry.host_id), copy)
                await self._mark(entry, False)
            except errors.NovaCronError as e:
                _log.warning("a copy stays for now", operation=entry.operation.id, reason=e.detail)
                continue
            self._left.pop(entry.operation.id, None)
            _log.info("what was left of a copy is removed", pool=copy.pool, volume=copy.name)

    async def _mark(self, entry: Journal[CopySteps], left: bool) -> None:
        write = lambda: self._database.run(lambda c: repository.mark(c, entry.operation.id, left=left))  # noqa: E731
        await retry_while_database_down("marking what is left", write)
