"""A few threads per host for calls that may hang for ever.

A hung libvirt call cannot be interrupted, so threads are few, never replaced, and never joined: a lane whose
threads all hang is full, and that is how a host is known to be down. One host's lanes never serve another.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class ThreadLane:
    """At most `size` daemon threads, started when needed, working through one queue in order."""

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.size = size
        self._jobs: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._ready = threading.Condition()
        self._threads = 0
        self._running = 0
        self._open = True

    @property
    def running(self) -> int:
        """How many calls are being made now, hung ones included."""
        return self._running

    @property
    def waiting(self) -> int:
        """How many calls wait for a thread."""
        return len(self._jobs)

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Queues a call. Cancelling its future before it starts takes it out; after that, nothing stops it."""
        future: Future[T] = Future()
        with self._ready:
            if not self._open:
                future.cancel()
                return future
            while self._jobs and self._jobs[0][0].cancelled():  # else they pile up behind calls that hang
                self._jobs.popleft()
            self._jobs.append((future, call))
            if self._running + len(self._jobs) > self._threads < self.size:
                self._threads += 1
                threading.Thread(target=self._work, name=f"{self.name}-{self._threads}", daemon=True).start()
            self._ready.notify()
        return future

    def stop(self) -> None:
        """Lets the threads end when their calls do. Calls that wait are cancelled. Does not block."""
        with self._ready:
            self._open = False
            for future, _ in self._jobs:
                future.cancel()
            self._jobs.clear()
            self._ready.notify_all()

    def _work(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._jobs or not self._open)
                if not self._jobs:
                    self._threads -= 1
                    return
                future, call = self._jobs.popleft()
                if not future.set_running_or_notify_cancel():
                    continue
                self._running += 1
            self._make(future, call)

    def _make(self, future: Future[Any], call: Callable[[], Any]) -> None:
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001 - carried to whoever waits, not swallowed
            self._leave()
            future.set_exception(error)
        else:
            self._leave()
            future.set_result(result)

    def _leave(self) -> None:
        # Counted down before the result is handed over, so that whoever waited for it finds the thread free.
        with self._ready:
            self._running -= 1
