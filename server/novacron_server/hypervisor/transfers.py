"""The transfers of a host's volumes: which may run at a time, and which has stopped making progress."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

from novacron_core.errors import HostUnavailable
from novacron_server.hypervisor.connection.supervisor import ConnectionSupervisor, mark_retrieved
from novacron_server.hypervisor.vms.domains import DomainReader

T = TypeVar("T")


class Transfer(Protocol):
    """A transfer in a worker thread: when it last made progress, whether it now flushes what it has written to a disk,
    and the event that cancels it."""

    moved_at: float
    flushing: bool
    cancel: threading.Event


class Transfers:
    """Gives a host's transfer threads to transfers in the order in which they ask, and ends one that stalls.

    A transfer that waits for threads, or flushes, is not stalled: neither can report progress.
    """

    def __init__(self, supervisor: ConnectionSupervisor[DomainReader]) -> None:
        self._supervisor = supervisor
        self._free = asyncio.Semaphore(supervisor.transfers.size)
        self._taken = 0
        self._turn = asyncio.Lock()

    def must_wait(self, threads: int = 1) -> bool:
        """Whether a transfer that needs this many threads would have to wait for others to end."""
        return self._turn.locked() or self._taken + threads > self._supervisor.transfers.size

    @asynccontextmanager
    async def threads(self, count: int = 1) -> AsyncIterator[None]:
        """Hold this many threads. Waits for them as long as other transfers need."""
        taken = 0
        try:
            async with self._turn:  # one at a time: two that need two threads would each hold one for ever
                while taken < count:
                    await self._free.acquire()
                    taken += 1
                    self._taken += 1
            yield
        finally:
            self._taken -= taken
            for _ in range(taken):
                self._free.release()

    async def run(self, transfer: Transfer, work: Callable[[Any], T], what: str) -> T:
        """Run a transfer that holds a thread; end it if it makes no progress, or if the task is cancelled.

        Raises HostUnavailable after `Timing.stall_s` without progress, or `Timing.flush_s` in one flush.
        """
        transfer.moved_at = time.monotonic()  # if the threads still hang in earlier calls, it never starts
        task = asyncio.create_task(self._supervisor.call(self._supervisor.transfers, work, what=what))
        task.add_done_callback(mark_retrieved)
        timing = self._supervisor.timing
        try:
            while not (await asyncio.wait({task}, timeout=1.0))[0]:
                limit_s = timing.flush_s if transfer.flushing else timing.stall_s
                if time.monotonic() - transfer.moved_at > limit_s:
                    raise HostUnavailable(f"cannot {what}: no progress for {limit_s:.0f} seconds")
            return task.result()
        finally:
            transfer.cancel.set()
            # Wait for the thread to release the volume, so that the caller can delete it.
            await asyncio.wait({task}, timeout=5.0)
            task.cancel()
