"""Calls to this machine's file systems that may hang: on a network file system whose server is gone, for ever.

Each call has a limit and runs in a daemon thread, because nothing can interrupt it. While one hangs, calls below the
same path, or on the same remote mount, are refused at once: at most one thread hangs for each.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from novacron_core.errors import Conflict

T = TypeVar("T")
LIMIT_S = 2.0
CHANGE_LIMIT_S = 10.0
"""For calls on which a change depends: a disk that slept needs seconds, and a refusal ends an operation."""
_MAX_IDLE = 16
"""Threads that wait for the next call: starting one takes longer than most calls."""
_MOUNTS = Path("/proc/self/mountinfo")
_REMOTE = re.compile(r"nfs4?|cifs|smb3|ceph|9p|glusterfs|lustre|afs|fuse(blk)?(\..*)?")
_OCTAL = re.compile(r"\\([0-7]{3})")


class DoesNotRespond(Conflict):
    """A file system has not answered within the limit."""


class FileCalls:
    """Makes such calls, from threads and from the loop. Used from any thread."""

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        self._limit_s = limit_s
        self._lock = threading.Lock()
        self._idle: list[SimpleQueue[_Job]] = []
        self._unanswered: dict[Future[Any], str] = {}

    def run(self, path: str, work: Callable[[], T], *, limit_s: float | None = None) -> T:
        """Make a call about the file or directory at `path`, an absolute path. Blocks up to the limit.

        Raises DoesNotRespond, and what `work` raises.
        """
        future = self._start(path, work)
        try:
            return future.result(limit_s or self._limit_s)
        except TimeoutError:
            if future.done():  # the call itself has timed out, as NFS does with the option soft
                raise
            raise self._give_up(future, path) from None

    async def call(self, path: str, work: Callable[[], T], *, limit_s: float | None = None) -> T:
        """As `run`, without blocking the loop."""
        future = self._start(path, work)
        waiter = asyncio.wrap_future(future)
        waiter.add_done_callback(lambda done: done.cancelled() or done.exception())  # it may end when nobody waits
        if not (await asyncio.wait({waiter}, timeout=limit_s or self._limit_s))[0]:
            raise self._give_up(future, path)
        return waiter.result()

    def _start(self, path: str, work: Callable[[], T]) -> Future[T]:
        job = _Job(work)
        with self._lock:
            for hung in self._unanswered.values():
                if _is_below(path, hung):
                    raise _does_not_respond(hung)
            queue = self._idle.pop() if self._idle else None
        if queue is None:
            queue = SimpleQueue()
            threading.Thread(target=self._work, args=(queue,), name="file call", daemon=True).start()
        queue.put(job)
        return job.future

    def _give_up(self, future: Future[Any], path: str) -> DoesNotRespond:
        hung = _remote_mount_of(path) or path
        with self._lock:
            if not future.done():
                self._unanswered[future] = hung
        return _does_not_respond(hung)

    def _work(self, queue: SimpleQueue[_Job]) -> None:
        goes_on = True
        while goes_on:
            job = queue.get()
            try:
                outcome: tuple[Any, BaseException | None] = job.work(), None
            except BaseException as error:  # noqa: BLE001 - passed to the waiter, not swallowed
                outcome = None, error
            with self._lock:
                self._unanswered.pop(job.future, None)
                if goes_on := len(self._idle) < _MAX_IDLE:
                    self._idle.append(queue)
                job.finish(*outcome)
            del job, outcome


class _Job:
    def __init__(self, work: Callable[[], Any]) -> None:
        self.work = work
        self.future: Future[Any] = Future()

    def finish(self, result: Any, error: BaseException | None) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        if error is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


def _does_not_respond(path: str) -> DoesNotRespond:
    return DoesNotRespond(f"{path} does not respond: is its file server down?")


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _remote_mount_of(path: str) -> str:
    """The mount point of the remote file system that a path is on by its name; empty for a local one. It is read from
    the kernel's table (proc_pid_mountinfo(5)), without a call to the file system."""
    found = ("", "")
    try:
        lines = _MOUNTS.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return ""
    for line in lines:
        fields, _, more = line.partition(" - ")
        point = _OCTAL.sub(lambda code: chr(int(code[1], 8)), fields.split(" ")[4])
        if _is_below(path, point) and len(point) >= len(found[0]):
            found = point, more.split(" ")[0]
    return found[0] if _REMOTE.fullmatch(found[1]) else ""


FILE_CALLS = FileCalls()
"""Those of the process: which file systems hang is the same for all its parts."""
