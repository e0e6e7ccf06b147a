"""The log file of the embedded PostgreSQL: PostgreSQL appends to it, this module limits its size."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import IO

from novacron_core.local_server import make_private

LIMIT_BYTES = 4 * 2**20


class ServerLog:
    """Two files of at most `limit_bytes` each: `path`, and `path`.1 with older lines."""

    def __init__(self, path: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self._path = path
        self._limit_bytes = limit_bytes

    def open(self) -> IO[bytes]:
        """Open the file for PostgreSQL to append to, with mode 0600."""
        self.rotate_if_full()
        file = self._path.open("ab")
        make_private(file.fileno())
        return file

    def rotate_if_full(self) -> None:
        """Move the lines of a full file to the older one. PostgreSQL appends, so truncating the open file is safe.

        Raises nothing: on a full disk the older lines are lost, and the database keeps running.
        """
        with contextlib.suppress(OSError):
            if self._path.stat().st_size <= self._limit_bytes:
                return
            older = self._path.with_name(f"{self._path.name}.1")
            with contextlib.suppress(OSError), older.open("wb") as kept:
                make_private(kept.fileno())
                kept.write(self._path.read_bytes()[-self._limit_bytes :])
            os.truncate(self._path, 0)

    def last_error(self) -> str:
        """The last fatal line since PostgreSQL's last start, else the last line: why it did not start. At most 300
        characters."""
        try:
            lines = self._path.read_bytes()[-4000:].decode(errors="replace").splitlines()
        except FileNotFoundError:
            return "no log file"
        except OSError as error:
            return f"its log cannot be read: {error.strerror}"
        starts = [number for number, line in enumerate(lines) if "starting PostgreSQL" in line]
        lines = lines[starts[-1] :] if starts else lines
        fatal = [line.split("] ", 1)[-1] for line in lines if "FATAL" in line or "PANIC" in line]
        return (fatal or lines or [""])[-1].strip()[:300]
