"""Removes copies that could not be removed when their operation failed, because their pool or host was unavailable."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from contextvars import Context
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
"""The pauses between attempts while an active pool refuses; the last one repeats."""


class LeftoverCopies:
    """The journal of the operation marks its leftover copy, so that the next server knows it too."""

    def __init__(self, database: Database, inventory: Inventory) -> None:
        self._database = database
        self._inventory = inventory
        self._leftovers: dict[str, Journal[CopySteps]] = {}
        self._failed: set[str] = set()
        """The operations of those whose removal has failed unexpectedly: the traceback is logged once."""
        self._tasks: dict[str, asyncio.Task[None]] = {}
        inventory.storage_read.listen(self._on_storage_read)

    async def load(self) -> None:
        """Load the leftover copies of earlier servers."""
        found = await self._database.run(lambda c: repository.marked(c, "left"), read_only=True)
        for entry in journal.read_all(found, CopySteps):
            self._add(entry)

    def _add(self, entry: Journal[CopySteps]) -> None:
        """Remember a leftover copy. Until it is removed it is not listed: nobody could do anything with it."""
        self._leftovers[entry.operation.id] = entry
        if copy := entry.steps.copy:
            names = (copy.name, copy.temporary) if copy.temporary else (copy.name,)
            files = [(copy.pool, name) for name in names]
            self._inventory.state.storage.operation_files.set(_files_of(entry), entry.host_id, files)

    async def close(self) -> None:
        await cancel_tasks(self._tasks.values())

    async def discard(self, entry: Journal[Any]) -> str:
        """Remove an unused copy, now or later. Returns a sentence if later, else an empty string."""
        try:
            await discard(self._inventory.host(entry.host_id), entry.steps.copy)
        except errors.NovaCronError as e:
            return await self._postpone(entry, e)
        return ""

    async def remove_later(self, operation_id: str, copy: CopyRecord, why: errors.NovaCronError) -> str:
        """Remove an unused copy as soon as its pool allows. Returns a sentence, empty if the operation is unknown."""
        read = lambda: self._database.run(lambda c: repository.get(c, operation_id), read_only=True)  # noqa: E731
        stored = await retry_while_database_down("marking what is left", read)
        if stored is None:
            return ""
        entry = journal.read(stored, CopySteps)
        raw = {**stored.steps, "copy": msgspec.to_builtins(copy)}
        write = lambda: self._database.run(lambda c: repository.write_ahead(c, operation_id, raw))  # noqa: E731
        await retry_while_database_down("marking what is left", write)
        return await self._postpone(replace(entry, steps=msgspec.structs.replace(entry.steps, copy=copy)), why)

    async def _postpone(self, entry: Journal[CopySteps], why: errors.NovaCronError) -> str:
        _log.warning("a leftover copy could not be removed yet", operation=entry.operation.id, reason=why.detail)
        await self._mark(entry, left=True)
        self._add(entry)
        return f"the unused copy cannot be removed yet ({why.detail}); NovaCron retries"

    def _on_storage_read(self, host_id: str) -> None:
        if host_id not in self._tasks and self._removable(host_id):
            self._tasks[host_id] = asyncio.create_task(
                self._remove_leftovers(host_id), name="leftovers", context=Context()
            )

    def _removable(self, host_id: str) -> list[Journal[CopySteps]]:
        return [entry for entry in self._leftovers.values() if entry.host_id == host_id and self._can_remove(entry)]

    def _can_remove(self, entry: Journal[CopySteps]) -> bool:
        if self._database.refusal or entry.steps.copy is None:  # `refusal`: another server is in charge
            return False
        pool = self._inventory.state.storage.pools_on(entry.host_id).get(entry.steps.copy.pool)
        return pool is not None and pool.active

    async def _remove_leftovers(self, host_id: str) -> None:
        """Remove until no active pool has a leftover. libvirt's list of active pools may be noticed late."""
        pauses = chain(PAUSES_S, repeat(PAUSES_S[-1]))
        try:
            while removable := self._removable(host_id):
                await self._remove(removable)
                with suppress(errors.NovaCronError):  # everything is read again when the host is back
                    await self._inventory.refresh_volumes(host_id)
                if self._removable(host_id):
                    await asyncio.sleep(next(pauses))
        finally:
            del self._tasks[host_id]  # at once: the next storage read must be able to start a new task

    async def _remove(self, removable: list[Journal[CopySteps]]) -> None:
        for entry in removable:
            try:
                await self._remove_one(entry)
            except errors.NovaCronError as e:
                _log.warning("a leftover copy could not be removed yet", operation=entry.operation.id, reason=e.detail)
            except Exception as e:  # noqa: BLE001 - one bad leftover must not keep the others (G14)
                known = entry.operation.id in self._failed
                self._failed.add(entry.operation.id)
                what = "removing a leftover copy failed unexpectedly"
                _log.error(what, operation=entry.operation.id, reason=str(e), exc_info=None if known else e)

    async def _remove_one(self, entry: Journal[CopySteps]) -> None:
        copy = entry.steps.copy or CopyRecord(pool="", name="")
        key = (entry.host_id, copy.pool, copy.name)
        if key not in self._inventory.state.storage.volume_rows:  # otherwise another volume has the name by now
            await discard(self._inventory.host(entry.host_id), copy)
        await self._mark(entry, left=False)
        self._leftovers.pop(entry.operation.id, None)
        self._inventory.state.storage.operation_files.remove(_files_of(entry))
        _log.info("removed a leftover copy", pool=copy.pool, volume=copy.name)

    async def _mark(self, entry: Journal[CopySteps], *, left: bool) -> None:
        write = lambda: self._database.run(lambda c: repository.mark(c, entry.operation.id, left=left))  # noqa: E731
        await retry_while_database_down("marking what is left", write)


def _files_of(entry: Journal[CopySteps]) -> str:
    """The name under which its files are hidden: the operation's own name is free when the operation ends."""
    return f"leftover/{entry.operation.id}"
