"""The log file of the embedded PostgreSQL: appended to by it, kept within bounds by us."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import IO

LIMIT_BYTES = 4 * 2**20


class ServerLog:
    """Two files of `limit_bytes` at most: `path`, and the older lines in `path`.1."""

    def __init__(self, path: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self._path = path
        self._limit_bytes = limit_bytes

    def open(self) -> IO[bytes]:
        """The file to hand to PostgreSQL, 0600, for appending."""
        self.bound()
        file = self._path.open("ab")
        self._path.chmod(0o600)
        return file

    def bound(self) -> None:
        """Move a full file's lines to the older one. PostgreSQL appends, so emptying the file under it is safe."""
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_size > self._limit_bytes:
                older = self._path.with_name(f"{self._path.name}.1")
                older.write_bytes(self._path.read_bytes()[-self._limit_bytes :])
                older.chmod(0o600)
                os.truncate(self._path, 0)

    def last_words(self) -> str:
        """Its last fatal line, else its last line: why it did not start."""
        try:
            lines = self._path.read_bytes()[-4000:].decode(errors="replace").splitlines()
        except FileNotFoundError:
            return "it left no log"
        fatal = [line.split("] ", 1)[-1] for line in lines if "FATAL" in line]
        return (fatal or lines or [""])[-1].strip()[:300]
