"""Lock files that only their owner can open: flock(2) needs no right to write, so anybody else could hold the lock."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

from novacron_core.local_server import make_private


def open_lock(path: Path) -> IO[bytes]:
    """Open or create a lock file for reading and appending, readable by its owner alone."""
    lock = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "a+b")
    make_private(lock.fileno())
    return lock
