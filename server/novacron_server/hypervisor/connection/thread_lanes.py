"""A few threads per host for calls that may hang forever.

A hung libvirt call cannot be interrupted, so threads are few, never replaced and never joined. When all threads of a
lane hang, the host counts as down. Hosts never share lanes. Tenants take turns: the calls of one may be many.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from novacron_server.places import ACTS_FOR, TurnQueue

T = TypeVar("T")


class ThreadLane:
    """At most `size` daemon threads, started on demand. Each processes the calls of the tenants in turn."""

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.size = size
        self._jobs: TurnQueue[tuple[Future[Any], Callable[[], Any]]] = TurnQueue()
        self._ready = threading.Condition()
        self._threads = 0
        self._began: dict[Future[Any], float] = {}
        self._open = True

    @property
    def running(self) -> int:
        """How many calls are in progress, including hung ones."""
        return len(self._began)

    def hangs(self, for_s: float) -> bool:
        """Whether every thread has been in one call for so long. Calls that only queue behind quick ones do not hang."""
        before = time.monotonic() - for_s
        with self._ready:
            return sum(began <= before for began in self._began.values()) >= self.size

    @property
    def waiting(self) -> int:
        """How many calls wait for a thread."""
        return len(self._jobs)

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Queue a call. Cancelling its future removes it if it has not started; a started call cannot be stopped."""
        future: Future[T] = Future()
        with self._ready:
            if not self._open:
                future.cancel()
                return future
            while self._jobs and self._jobs.peek()[0].cancelled():  # otherwise they pile up behind hung calls
                self._jobs.take()
            self._jobs.add(ACTS_FOR.get(), (future, call))
            if len(self._began) + len(self._jobs) > self._threads < self.size:
                self._threads += 1
                threading.Thread(target=self._work, name=f"{self.name}-{self._threads}", daemon=True).start()
            self._ready.notify()
        return future

    def stop(self) -> None:
        """End each thread when its call ends, and cancel queued calls. Does not block."""
        with self._ready:
            self._open = False
            for future, _ in self._jobs.clear():
                future.cancel()
            self._ready.notify_all()

    def _work(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._jobs or not self._open)
                if not self._jobs:
                    self._threads -= 1
                    return
                future, call = self._jobs.take()
                if not future.set_running_or_notify_cancel():
                    continue
                self._began[future] = time.monotonic()
            self._execute(future, call)

    def _execute(self, future: Future[Any], call: Callable[[], Any]) -> None:
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001 - passed to the waiter, not swallowed
            self._finish(future)
            future.set_exception(error)
        else:
            self._finish(future)
            future.set_result(result)

    def _finish(self, future: Future[Any]) -> None:
        # Removed before the result is set, so that a caller that waited for it finds the thread free.
        with self._ready:
            del self._began[future]
