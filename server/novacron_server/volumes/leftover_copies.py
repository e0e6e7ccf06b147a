"""Copies that could not be taken away when their work failed, because their pool or host was gone: removed when it is back."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import chain, repeat
from typing import Any

import msgspec
import structlog

from novacron_core import errors
from novacron_server.database.transactions import Database
from novacron_server.inventory.inventory import Inventory
from novacron_server.operations import repository
from novacron_server.operations.repository import Stored
from novacron_server.operations.retries import retry_while_database_down
from novacron_server.volumes.copies import discard

_log = structlog.get_logger()
_MARK = "left"
PAUSES_S = (0.5, 1.0, 2.0, 5.0, 30.0)
"""Between two tries at a pool that is on and does not let go."""


class LeftoverCopies:
    """What is left is marked in its operation's steps, so that a later server knows it too."""

    def __init__(self, database: Database, inventory: Inventory) -> None:
        self._database = database
        self._inventory = inventory
        self._left: dict[str, Stored] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        inventory.on_storage.append(self._looked)

    async def load(self) -> None:
        """Start from what earlier servers left."""
        found = await self._database.run(lambda c: repository.marked(c, _MARK), read_only=True)
        self._left = {stored.operation.id: stored for stored in found}

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def discard(self, stored: Stored) -> str:
        """Take away what a copy that is not used had made, now or later. Returns a sentence about it, or nothing."""
        try:
            await discard(self._inventory.host(stored.host_id or ""), stored.steps)
        except errors.NovaCronError as e:
            return await self._remember(stored, e)
        return ""

    async def later(self, operation_id: str, copy: dict[str, Any], why: errors.NovaCronError) -> str:
        """A copy that is of no use any more, as a step `copy` of its operation, goes when that can be. Returns a sentence."""
        read = lambda: self._database.run(lambda c: repository.get(c, operation_id), read_only=True)  # noqa: E731
        stored = await retry_while_database_down("marking what is left", read)
        if stored is None:
            return ""
        return await self._remember(msgspec.structs.replace(stored, steps={**stored.steps, "copy": copy}), why)

    async def _remember(self, stored: Stored, why: errors.NovaCronError) -> str:
        _log.warning("a copy stays for now", operation=stored.operation.id, reason=why.detail)
        await self._mark(stored, True)
        self._left[stored.operation.id] = stored
        return f"what is left of the copy goes when its pool is back ({why.detail})"

    def _looked(self, host_id: str) -> None:
        if host_id not in self._tasks and self._waiting(host_id):
            self._tasks[host_id] = asyncio.create_task(self._clear(host_id), name="leftovers")

    def _waiting(self, host_id: str) -> list[Stored]:
        return [stored for stored in self._left.values() if stored.host_id == host_id and self._can(stored)]

    def _can(self, stored: Stored) -> bool:
        if self._database.refusal:  # another server does it
            return False
        pool = self._inventory.state.storage.pools_on(stored.host_id or "").get(_copy(stored)["pool"])
        return pool is not None and pool.active

    async def _clear(self, host_id: str) -> None:
        """Until nothing is left in pools that are on. The picture may tell late that one went, or came back."""
        pauses = chain(PAUSES_S, repeat(PAUSES_S[-1]))
        try:
            while waiting := self._waiting(host_id):
                await self._again(waiting)
                with suppress(errors.HostUnavailable):  # then all is read when it is back
                    await self._inventory.refresh_volumes(host_id)
                if self._waiting(host_id):
                    await asyncio.sleep(next(pauses))
        finally:
            del self._tasks[host_id]  # at once: the next look must not meet a task that has done its work

    async def _again(self, waiting: list[Stored]) -> None:
        for stored in waiting:
            copy = _copy(stored)
            key = (stored.host_id or "", copy["pool"], copy["name"])
            try:
                if key not in self._inventory.state.storage.volume_rows:  # else the name is somebody's by now
                    await discard(self._inventory.host(key[0]), stored.steps)
                await self._mark(stored, False)
            except errors.NovaCronError as e:
                _log.warning("a copy stays for now", operation=stored.operation.id, reason=e.detail)
                continue
            self._left.pop(stored.operation.id, None)
            _log.info("what was left of a copy is gone", pool=copy["pool"], volume=copy["name"])

    async def _mark(self, stored: Stored, left: bool) -> None:
        steps = {**stored.steps, _MARK: left}
        write = lambda: self._database.run(lambda c: repository.write_ahead(c, stored.operation.id, steps))  # noqa: E731
        await retry_while_database_down("marking what is left", write)


def _copy(stored: Stored) -> dict[str, Any]:
    copy: dict[str, Any] = stored.steps.get("copy") or {"pool": "", "name": ""}
    return copy
