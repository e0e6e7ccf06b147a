"""The transfers of a host's volumes: which may run at a time, and which has stopped making progress."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from novacron_core.errors import HostUnavailable
from novacron_server.hypervisor.connection.supervisor import ConnectionSupervisor, mark_retrieved
from novacron_server.hypervisor.connection.thread_lanes import ThreadLane
from novacron_server.hypervisor.vms.domains import DomainReader
from novacron_server.places import Places

T = TypeVar("T")


class Transfer(Protocol):
    """A transfer in a worker thread: when it last made progress, whether it now flushes what it has written to a disk,
    and the event that cancels it."""

    moved_at: float
    flushing: bool
    cancel: threading.Event


class Transfers:
    """The threads of one of a host's lanes, for which tenants take turns. Ends a transfer that stalls.

    A transfer that waits for threads, or flushes, is not stalled: neither can report progress.
    """

    def __init__(
        self, supervisor: ConnectionSupervisor[DomainReader], lane: ThreadLane, of_one: int | None = None
    ) -> None:
        """Of one tenant at most `of_one` threads are held; None: all."""
        self._supervisor, self._lane = supervisor, lane
        self.threads = Places(lane.size, of_one)

    async def run(self, transfer: Transfer, work: Callable[[Any], T], what: str) -> T:
        """Run a transfer that holds a place in `threads`; end it if it makes no progress, or if the task is cancelled.

        Raises HostUnavailable after `Timing.stall_s` without progress, or `Timing.flush_s` in one flush.
        """
        transfer.moved_at = time.monotonic()  # if the threads still hang in earlier calls, it never starts
        task = asyncio.create_task(self._supervisor.call(self._lane, work, what=what))
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
