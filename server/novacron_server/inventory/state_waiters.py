"""Lets an operation wait until a VM has been seen in a state."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from novacron_server.hypervisor.facts import DomainFacts

Looks = Callable[[DomainFacts | None], bool]


class StateWaiters:
    """Who waits for what. Told by the keepers of every look at a VM."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[tuple[Looks, asyncio.Future[None]]]] = {}

    def looked_at(self, vm_id: str, facts: DomainFacts | None) -> None:
        """A VM was read; None: it does not exist."""
        for looks, future in self._waiting.get(vm_id, []):
            if not future.done() and looks(facts):
                future.set_result(None)

    async def until(self, vm_id: str, looks: Looks, timeout_s: float) -> bool:
        """Wait until a look at the VM satisfies `looks`; False when none did in time."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (looks, future)
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
