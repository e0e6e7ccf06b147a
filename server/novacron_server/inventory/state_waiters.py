"""Lets operations wait until a VM is read in a certain state."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from novacron_server.hypervisor.facts import DomainFacts

Condition = Callable[[DomainFacts | None], bool]


class StateWaiters:
    """The pending waits. The host syncs call `notify` after every read of a VM."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[tuple[Condition, asyncio.Future[None]]]] = {}

    def notify(self, vm_id: str, facts: DomainFacts | None) -> None:
        """A VM was read; None: it does not exist."""
        for condition, future in self._waiting.get(vm_id, []):
            if not future.done() and condition(facts):
                future.set_result(None)

    async def wait(self, vm_id: str, condition: Condition, timeout_s: float) -> bool:
        """Wait until a read of the VM satisfies `condition`; False on timeout."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (condition, future)
        self._waiting.setdefault(vm_id, []).append(entry)
        try:
            async with asyncio.timeout(timeout_s):
                await future
        except TimeoutError:
            return False
        finally:
            waiting = self._waiting[vm_id]
            waiting.remove(entry)
            if not waiting:
                del self._waiting[vm_id]
        return True
