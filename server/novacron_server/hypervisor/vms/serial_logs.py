"""The files of a serial port's log, in libvirt's log folder of this machine. Blocking calls: run as file calls.

virtlogd appends to NAME. When that is full (2 MiB by default) it renames NAME.1 to NAME.2, NAME.0 to NAME.1 and NAME to
NAME.0, and begins a new NAME. Whoever may write to the folder may put anything there, and a definition may name any file.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from uuid import UUID

from novacron_server.hypervisor.vms.local_daemon import LocalDaemon, NoDaemon

SUFFIX = ".console"
"""Not `.log`: libvirt's own log of a VM is NAME.log, a VM may have another one's UUID as its name, and logrotate of the
distributions takes `*.log`."""
MAX_FILES = 32
_OWN_NAME = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.console(?:\.\d+)?")
_READ_BYTES = 256 << 10
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_TRIES = 5
_BETWEEN_RENAMES_S = 0.01


class NoSerialLog(Exception):
    """The log cannot be read. The text is a sentence that names no path."""


@dataclass(frozen=True, slots=True)
class LogFile:
    """One file: what was in it when it was opened. A rotation renames it, and keeps its inode."""

    inode: int
    size_bytes: int
    modified_s: float
    descriptor: int


class SerialLog:
    """The files of one log as if they were one, the oldest first, from position 0 to `size_bytes`."""

    def __init__(self, files: list[LogFile]) -> None:
        self.files = files
        self.size_bytes = sum(file.size_bytes for file in files)
        self.modified_s = max((file.modified_s for file in files), default=None)

    def read(self, begin: int, end: int) -> bytes:
        """The bytes between two positions, in pieces. Shorter if a file was cut meanwhile. Raises OSError."""
        pieces: list[bytes] = []
        for start, file in self._starts():
            at, stop = max(begin, start), min(end, start + file.size_bytes)
            while at < stop:
                piece = os.pread(file.descriptor, min(_READ_BYTES, stop - at), at - start)
                if not piece:
                    return b"".join(pieces)  # what follows would not be next to it
                pieces.append(piece)
                at += len(piece)
        return b"".join(pieces)

    def position(self, inode: int, offset: int) -> int | None:
        """Where this byte of a file is, None if the file is gone or was cut."""
        for start, file in self._starts():
            if file.inode == inode and offset <= file.size_bytes:
                return start + offset
        return None

    def place(self, position: int) -> tuple[int, int]:
        """The inode and offset at a position, where two files meet that of the older; (0, 0) while there is no file."""
        found = (0, 0)
        for start, file in self._starts():
            if start < position or found == (0, 0):
                found = file.inode, position - start
        return found

    def _starts(self) -> Iterator[tuple[int, LogFile]]:
        start = 0
        for file in self.files:
            yield start, file
            start += file.size_bytes


def log_path(daemon: LocalDaemon, uuid: str) -> str:
    """The path of the log of this VM in its definition. Raises ValueError if `uuid` is none."""
    return f"{daemon.logs}/{UUID(uuid)}{SUFFIX}"


def why_not_path(daemon: LocalDaemon, path: str, uuid: str, names: Collection[str]) -> str:
    """Why the log at this path of a definition must not be read; empty if it may be. `names` are those of the host's VMs.

    A definition can name any file of the host, and the server is root: it reads only logs of libvirt's folder that are not
    another VM's.
    """
    folder, _, name = path.rpartition("/")
    if folder != daemon.logs or name in ("", ".", "..") or "\0" in name:
        return "the log of its serial port is outside of libvirt's log folder, where the server reads no files"
    own = _OWN_NAME.fullmatch(name)
    if own is not None and own[1] != uuid:
        return "the log of its serial port is that of another VM"
    if own is None and re.sub(r"\.log(\.\d+)?$", "", name) in names:
        return "the log of its serial port is the one that QEMU writes for a VM"
    return ""


@contextmanager
def opened(folder: str, name: str) -> Iterator[SerialLog]:
    """Open all files of a log. Raises NoSerialLog if one is none, OSError. A missing log is an empty one."""
    with ExitStack() as stack:
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, directory)
        for _ in range(_TRIES):
            with ExitStack() as attempt:
                descriptors, is_whole = _open_all(directory, name, attempt)
                if is_whole:
                    stack.push(attempt.pop_all())
                    break
            time.sleep(_BETWEEN_RENAMES_S)  # virtlogd is renaming them
        else:
            descriptors, _ = _open_all(directory, name, stack)
        yield SerialLog(_files(descriptors))


def _open_all(directory: int, name: str, stack: ExitStack) -> tuple[list[int], bool]:
    """The newest first: a file that is renamed meanwhile is opened twice, and none is missed. Also returns whether there is
    no gap between them."""
    found: list[int] = []
    missing, is_whole = 0, True
    for index in range(-1, MAX_FILES):
        try:
            file = os.open(f"{name}.{index}" if index >= 0 else name, _FLAGS, dir_fd=directory)
        except FileNotFoundError:
            missing += 1
            if missing > 2:
                break
            continue
        except OSError as e:
            raise _refused(e) from e
        stack.callback(os.close, file)
        found.append(file)
        is_whole = is_whole and not missing
        missing = 0
    return found, is_whole


def _refused(error: OSError) -> Exception:
    what = {errno.ELOOP: "is a link", errno.ENXIO: "is no regular file"}.get(error.errno or 0)
    return NoSerialLog(f"the log of its serial port {what}: the server does not read it") if what else error


def _files(descriptors: list[int]) -> list[LogFile]:
    """The oldest first, each once."""
    files: dict[int, LogFile] = {}
    for descriptor in descriptors:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise NoSerialLog("the log of its serial port is no regular file: the server does not read it")
        files[found.st_ino] = LogFile(found.st_ino, found.st_size, found.st_mtime, descriptor)
    return list(files.values())[::-1]


def remove_logs(uri: str, uuid: str) -> None:
    """Remove all files of the log that a VM of ours has; succeeds if there is none. Raises OSError, ValueError."""
    try:
        folder = LocalDaemon(uri).seen_logs
    except NoDaemon:
        raise OSError(errno.ENOTCONN, "libvirt does not respond") from None
    name = f"{UUID(uuid)}{SUFFIX}"
    with suppress(FileNotFoundError):
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for entry in os.listdir(directory):  # noqa: PTH208 - a descriptor, so that no link is followed
                if entry == name or re.fullmatch(re.escape(name) + r"\.\d+", entry):
                    with suppress(FileNotFoundError):
                        os.unlink(entry, dir_fd=directory)
        finally:
            os.close(directory)
