"""Whether a file is still being written, for files that other programs put into the images directory."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
from pathlib import Path

from novacron_server.file_calls import CHANGE_LIMIT_S, FILE_CALLS

_BETWEEN_LOOKS_S = 0.3


async def is_being_written(path: Path) -> bool:
    """Whether a program has the file open for writing, or it changes while it is looked at. Raises OSError, Conflict.

    Its writer may open it anew for each piece, or be on another machine that shares the directory, whose clock gives the
    file its time: the file's age says nothing about that, so it is always looked at twice.
    """
    if await FILE_CALLS.call(str(path), lambda: _has_writer(path), limit_s=CHANGE_LIMIT_S):
        return True
    before = await FILE_CALLS.call(str(path), path.stat, limit_s=CHANGE_LIMIT_S)
    await asyncio.sleep(_BETWEEN_LOOKS_S)
    after = await FILE_CALLS.call(str(path), path.stat, limit_s=CHANGE_LIMIT_S)
    return (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size)


def _has_writer(path: Path) -> bool:
    """Whether a program of this machine has the file open for writing.

    The kernel grants a read lease only for a file that nobody writes; it is given back at once. A file system without
    leases, and a file of another user, give no answer: False.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except PermissionError:
        return False  # reading it will fail, and say so
    try:
        # A program that opens the file at this moment breaks the lease, and the kernel's signal must not end the server.
        fcntl.fcntl(handle, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False
