"""Directories for the servers of tests, in memory where the machine has room: a database is a thousand small files."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

_MEMORY = Path("/dev/shm")
_DISK = Path("/var/tmp")
_NAME = re.compile(r"nv-(\d+)-\w+")
"""The id of the process, and what makes it unique. Short: it is part of the addresses of unix sockets."""
_MIN_FREE_BYTES = 6 * 1024**3


@contextmanager
def scratch() -> Iterator[Path]:
    """A new directory that other accounts may enter, as PostgreSQL and QEMU run as such; unlike those of pytest. It is
    removed at the end of the block, or by the next process when this one was killed."""
    path = Path(tempfile.mkdtemp(prefix=f"nv-{os.getpid()}-", dir=_base()))
    try:
        path.chmod(0o711)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@cache
def _base() -> Path:
    for folder in (_MEMORY, _DISK):
        remove_left(folder)
    return _MEMORY if _has_room(_MEMORY) else _DISK


def remove_left(folder: Path) -> None:
    """Remove the directories of processes that were killed: those in memory would take it until the next boot."""
    for path in folder.glob("nv-*-*"):
        found = _NAME.fullmatch(path.name)
        if found and not Path("/proc", found[1]).exists():
            shutil.rmtree(path, ignore_errors=True)


def _has_room(folder: Path) -> bool:
    """Whether other accounts may use the folder, it has room, and files can be opened as QEMU opens disks."""
    try:
        if folder.stat().st_mode & 0o1007 != 0o1007 or shutil.disk_usage(folder).free < _MIN_FREE_BYTES:
            return False
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            os.close(os.open(file.name, os.O_RDWR | os.O_DIRECT))
    except OSError:
        return False
    return True
