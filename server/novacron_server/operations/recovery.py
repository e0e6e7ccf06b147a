"""After a crash: every operation that had not ended is ended, as soon as its host can be asked what is true."""

from __future__ import annotations

import asyncio

import structlog

from novacron_core import errors
from novacron_core.api.hosts import HostStatus
from novacron_server.inventory.inventory import Inventory
from novacron_server.operations.repository import Stored
from novacron_server.operations.runner import Operations
from novacron_server.tasks import cancel_tasks

_log = structlog.get_logger()
_RETRY_S = 0.5
_MAX_RETRY_S = 5.0
"""The longest pause between two refused attempts: a refusal may last, and must not fill the log."""


class Recovery:
    """Recovers operations, as a task that can be stopped and started again."""

    def __init__(self, operations: Operations, inventory: Inventory) -> None:
        self._operations = operations
        self._inventory = inventory
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(recover_all(self._operations, self._inventory), name="recovery")

    async def stop(self) -> None:
        await cancel_tasks([self._task])


async def recover_all(operations: Operations, inventory: Inventory) -> None:
    """End what the last server left running, each operation as soon as its host answers."""
    left = await operations.unended()
    await asyncio.gather(*(_recover(operations, inventory, stored) for stored in left))


async def _recover(operations: Operations, inventory: Inventory, stored: Stored) -> None:
    pause_s, logged = _RETRY_S, ""
    while True:
        try:
            if _host_answers(inventory, stored):
                await operations.recover(stored)
                return
        except errors.NovaCronError as e:
            if not _configured(inventory, stored):
                await operations.give_up(stored, "its host is no longer configured, so its state was not checked")
                return
            if e.detail != logged:
                logged = e.detail
                _log.warning("recovery waits", operation=stored.operation.id, reason=logged)
            pause_s = min(2 * pause_s, _MAX_RETRY_S)
        except Exception as e:  # noqa: BLE001 - one operation that cannot be recovered must not keep the others
            if str(e) != logged:
                logged = str(e)
                _log.error("recovery broke", operation=stored.operation.id, exc_info=e)
            pause_s = min(2 * pause_s, _MAX_RETRY_S)
        await asyncio.sleep(pause_s)


def _host_answers(inventory: Inventory, stored: Stored) -> bool:
    """Whether the operation's host is up; a host that is no longer configured is not waited for."""
    if stored.host_id is None or not _configured(inventory, stored):
        return True
    return inventory.host(stored.host_id).status is HostStatus.UP


def _configured(inventory: Inventory, stored: Stored) -> bool:
    if stored.host_id is None:
        return True
    return any(host.host_id == stored.host_id for host in inventory.connections())
