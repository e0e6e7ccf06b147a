"""Copies a file on this machine: preserves holes, flushes the copy to the disk, and compares both files.

Blocks: run in a worker thread, monitored and cancelled from another.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from novacron_core.errors import Conflict, Internal
from novacron_server.renaming import rename_without_replacing

_COPY_CHUNK = 4 << 20
_COMPARE_CHUNK = 1 << 20
_FLUSH_EVERY = 64 << 20
"""Bytes between flushes: a slow disk then never has more to write at once than the limit of one flush allows."""
_REPORT_EVERY_S = 0.25


class FileCopy:
    """One copy. `progress(done, total)` counts the bytes of both passes, copy and compare."""

    def __init__(
        self,
        source: Path,
        target: Path,
        progress: Callable[[int, int], None],
        cancel: threading.Event,
        bandwidth_bytes_s: int = 0,
    ) -> None:
        self.cancel = cancel
        self.moved_at = time.monotonic()
        self.flushing = False
        self._source, self._target = source, target
        self._progress = progress
        self._bandwidth = bandwidth_bytes_s
        self._began = time.monotonic()
        self._reported_at = 0.0
        self._done = self._total = self._unflushed = 0
        self._in_kernel = True

    def run(self) -> tuple[int, int]:
        """Copy into the existing target, flush it and its directory to the disk, read it back and compare.

        Returns `written_at` of the source. Raises Conflict if it is cancelled, the source changes during the copy, no
        space is left, or a file system refuses to read or write; Internal if the two differ.
        """
        self.moved_at = self._began = time.monotonic()
        with _open_file(self._source, os.O_RDONLY) as source, _open_file(self._target, os.O_RDWR) as target:
            return self._run(source.fileno(), target.fileno())

    def _run(self, source: int, target: int) -> tuple[int, int]:
        with _explained(self._source, "read"):
            before = os.fstat(source)
            extents = list(_extents(source, before.st_size))
        self._total = 2 * sum(end - start for start, end in extents)
        with _explained(self._target, "write"):
            os.ftruncate(target, 0)
            os.ftruncate(target, before.st_size)
        for start, end in extents:
            self._copy(source, target, start, end)
        with _explained(self._target, "write"):
            self._flush(target)
            with self._flushing():
                _flush_folder(self._target.parent)
            # Drop the page cache, so that the comparison reads the disk.
            os.posix_fadvise(target, 0, 0, os.POSIX_FADV_DONTNEED)
            written = list(_extents(target, before.st_size))
        for start, end in _union(extents, written):
            self._compare(source, target, start, end)
        if _version(os.fstat(source)) != _version(before):
            raise Conflict("the volume was written to during the copy")
        return _version(before)

    def _copy(self, source: int, target: int, start: int, end: int) -> None:
        while start < end:
            self._check_cancelled()
            count = self._copy_chunk(source, target, start, min(_COPY_CHUNK, end - start))
            if not count:
                raise Conflict("the volume shrank during the copy")
            start += count
            self._report(count)
            self._unflushed += count
            if self._unflushed >= _FLUSH_EVERY:
                with _explained(self._target, "write"):
                    self._flush(target)

    def _flush(self, target: int) -> None:
        with self._flushing():
            os.fsync(target)
        self._unflushed = 0

    @contextmanager
    def _flushing(self) -> Iterator[None]:
        """The time in here is spent waiting for a disk, without progress that could be reported."""
        self.moved_at, self.flushing = time.monotonic(), True
        try:
            yield
        finally:
            self.moved_at, self.flushing = time.monotonic(), False

    def _copy_chunk(self, source: int, target: int, start: int, count: int) -> int:
        if self._in_kernel:
            try:
                return os.copy_file_range(source, target, count, start, start)
            except OSError:  # unsupported here; for any other reason the calls below tell which file is the cause
                self._in_kernel = False
        data = self._read(source, self._source, count, start)
        with _explained(self._target, "write"):
            return os.pwrite(target, data, start)

    @staticmethod
    def _read(handle: int, path: Path, count: int, start: int) -> bytes:
        with _explained(path, "read"):
            return os.pread(handle, count, start)

    def _compare(self, source: int, target: int, start: int, end: int) -> None:
        while start < end:
            self._check_cancelled()
            count = min(_COMPARE_CHUNK, end - start)
            copied = self._read(target, self._target, count, start)
            if self._read(source, self._source, count, start) != copied:
                raise Internal(f"the copy differs from the volume at byte {start} and was not used")
            start += count
            self._report(count)

    def _check_cancelled(self) -> None:
        if self.cancel.is_set():
            raise Conflict("the copy was cancelled")

    def _report(self, count: int) -> None:
        self._done += count
        now = self.moved_at = time.monotonic()
        if now - self._reported_at >= _REPORT_EVERY_S:
            self._reported_at = now
            self._progress(min(self._done, self._total), self._total)
        ahead_s = self._done / self._bandwidth - (now - self._began) if self._bandwidth else 0.0
        while ahead_s > 0 and not self.cancel.wait(min(ahead_s, 0.5)):
            ahead_s -= 0.5
            self.moved_at = time.monotonic()


def _open_file(path: Path, mode: int) -> IO[bytes]:
    """Open only a regular file: no link that leads out of the pool, no pipe that blocks forever. Raises Conflict."""
    try:
        handle = os.open(path, mode | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO):
            raise Conflict(f"cannot open {path.name}: {error.strerror}") from error
        raise Conflict(f"{path.name} is not a regular file") from error
    file = os.fdopen(handle, "rb" if mode == os.O_RDONLY else "r+b", buffering=0)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        file.close()
        raise Conflict(f"{path.name} is not a regular file")
    return file


def written_at(path: Path) -> tuple[int, int]:
    """The modification time (ns) and size of a file: together they change with every write. Raises Conflict."""
    with _explained(path, "read"):
        return _version(path.stat())


def _version(found: os.stat_result) -> tuple[int, int]:
    return found.st_mtime_ns, found.st_size


def rename_new(old: Path, new: Path) -> None:
    """Rename a file without replacing another, and flush the directory. Succeeds if it was renamed before.

    Raises Conflict if another file has the name, or the file system refuses.
    """
    with _explained(new, "rename a copy to"):
        try:
            rename_without_replacing(old, new)
        except FileExistsError:
            if not (old.exists() and old.samefile(new)):
                raise Conflict(f"a file named {new.name} already exists") from None
            old.unlink()
        except FileNotFoundError:
            if not new.exists():
                raise
            return
        _flush_folder(new.parent)


@contextmanager
def _explained(path: Path, action: str) -> Iterator[None]:
    """Raises Conflict with the reason for an OSError of the work with this file."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Conflict("no space left in the pool") from error
        raise Conflict(f"cannot {action} {path.name}: {error.strerror or error}") from error


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _extents(handle: int, size: int) -> Iterator[tuple[int, int]]:
    """The ranges of a file that contain data."""
    end = 0
    while end < size:
        try:
            start = os.lseek(handle, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        end = os.lseek(handle, start, os.SEEK_HOLE)
        yield start, end


def _union(first: list[tuple[int, int]], second: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The ranges in which either file has data: a hole in one must match zeros in the other."""
    start = end = 0
    for low, high in sorted(first + second):
        if low > end:
            yield start, end
            start = low
        end = max(end, high)
    yield start, end
