"""After a crash: every operation that had not ended is ended, once its host can be asked what is true."""

from __future__ import annotations

import asyncio

import structlog

from novacron_core import errors
from novacron_core.api.hosts import HostStatus
from novacron_server.inventory.inventory import Inventory
from novacron_server.operations.repository import Stored
from novacron_server.operations.runner import Operations

_log = structlog.get_logger()
_ASK_EVERY_S = 0.5
_AT_MOST_S = 5.0
"""Between two tries that are refused, in the end: what refuses may last, and is to fill no log."""


class Recovery:
    """Settles, as a task that can be stopped and started again."""

    def __init__(self, operations: Operations, inventory: Inventory) -> None:
        self._operations = operations
        self._inventory = inventory
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(recover_all(self._operations, self._inventory), name="settling")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


async def recover_all(operations: Operations, inventory: Inventory) -> None:
    """Settle what the last server left running, each as soon as its host answers."""
    left = await operations.unended()
    await asyncio.gather(*(_settle(operations, inventory, stored) for stored in left))


async def _settle(operations: Operations, inventory: Inventory, stored: Stored) -> None:
    pause_s, told = _ASK_EVERY_S, ""
    while True:
        try:
            if _answers(inventory, stored):
                await operations.settle(stored)
                return
        except errors.NovaCronError as e:
            if not _configured(inventory, stored):
                await operations.give_up(stored, "its host is none of this server's any more, so nobody looked there")
                return
            if e.detail != told:
                told = e.detail
                _log.warning("settling waits", operation=stored.operation.id, reason=told)
            pause_s = min(2 * pause_s, _AT_MOST_S)
        await asyncio.sleep(pause_s)


def _answers(inventory: Inventory, stored: Stored) -> bool:
    """Whether the operation's host is up; a host that is no longer configured is not waited for."""
    if stored.host_id is None or not _configured(inventory, stored):
        return True
    return inventory.host(stored.host_id).status is HostStatus.UP


def _configured(inventory: Inventory, stored: Stored) -> bool:
    if stored.host_id is None:
        return True
    return any(host.host_id == stored.host_id for host in inventory.connections())
