"""After a crash, ends every operation that had not ended, as soon as its host responds."""

from __future__ import annotations

import asyncio

import structlog

from novacron_core import errors
from novacron_core.api.hosts import HostStatus
from novacron_server.inventory.inventory import Inventory
from novacron_server.operations.repository import StoredOperation
from novacron_server.operations.retries import retry_until_done
from novacron_server.operations.runner import Operations
from novacron_server.tasks import cancel_tasks

_log = structlog.get_logger()
_RETRY_S = 0.5
GIVE_UP_AFTER_S = 120.0
"""How long a recovery may be refused by a host that responds: its operation keeps its locks meanwhile."""
_MAX_RETRY_S = 5.0
"""The longest pause between two attempts: a refusal may last, and must not fill the log."""


class Recovery:
    """Runs the recovery as a task that can be stopped and started again."""

    def __init__(self, operations: Operations, inventory: Inventory) -> None:
        self._operations = operations
        self._inventory = inventory
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(recover_all(self._operations, self._inventory), name="recovery")

    async def stop(self) -> None:
        await cancel_tasks([self._task])


async def recover_all(operations: Operations, inventory: Inventory) -> None:
    """End the operations that the last server left running, each as soon as its host responds."""
    unended = await retry_until_done("reading the operations to recover", operations.unended)
    await asyncio.gather(*(_recover(operations, inventory, stored) for stored in unended))


async def _recover(operations: Operations, inventory: Inventory, stored: StoredOperation) -> None:
    pause_s, logged, refused_s = _RETRY_S, "", 0.0
    while True:
        try:
            if _is_recoverable(inventory, stored):
                await operations.recover(stored)
                return
        except errors.NovaCronError as e:
            if not _has_configured_host(inventory, stored):
                await operations.end_interrupted(
                    stored, "its host is no longer configured, so its state was not checked"
                )
                return
            if e.detail != logged:
                logged = e.detail
                _log.warning("recovery of an operation is postponed", operation=stored.operation.id, reason=logged)
            pause_s = min(2 * pause_s, _MAX_RETRY_S)
            refused_s += 0.0 if isinstance(e, (errors.HostUnavailable, errors.DatabaseUnavailable)) else pause_s
        except Exception as e:  # noqa: BLE001 - one bad operation must not stop the recovery of others (G14)
            if str(e) != logged:
                logged = str(e)
                _log.error("recovery of an operation failed unexpectedly", operation=stored.operation.id, exc_info=e)
            pause_s = min(2 * pause_s, _MAX_RETRY_S)
            refused_s += pause_s
        if refused_s > GIVE_UP_AFTER_S:
            await operations.give_up_recovery(stored, logged)
            return
        await asyncio.sleep(pause_s)


def _is_recoverable(inventory: Inventory, stored: StoredOperation) -> bool:
    """Whether recovery need not wait for the operation's host: it is up, or no longer configured."""
    if stored.host_id is None or not _has_configured_host(inventory, stored):
        return True
    return inventory.host(stored.host_id).status is HostStatus.UP


def _has_configured_host(inventory: Inventory, stored: StoredOperation) -> bool:
    if stored.host_id is None:
        return True
    return any(host.host_id == stored.host_id for host in inventory.connections())
