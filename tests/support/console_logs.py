"""Logs of serial consoles, written as virtlogd writes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from novacron_server.hypervisor.vms.serial_logs import SerialLog, opened

UUID = "5a3b1c7e-2f7d-4e0a-9a56-0c5d7f3f2b11"
NAME = f"{UUID}.console"


class RotatedLog:
    """A log of at most `limit_bytes` a file, and `backups` older files."""

    def __init__(self, folder: Path, *, limit_bytes: int = 2 << 20, backups: int = 3) -> None:
        self.folder, self.limit_bytes, self.backups = folder, limit_bytes, backups
        self.written = b""

    @property
    def path(self) -> Path:
        return self.folder / NAME

    def write(self, data: bytes) -> None:
        """Append, rotating where a file is full."""
        self.written += data
        while data:
            size = self.path.stat().st_size if self.path.exists() else 0
            if size >= self.limit_bytes:
                self.rotate()
                size = 0
            with self.path.open("ab") as file:
                file.write(data[: self.limit_bytes - size])
            data = data[self.limit_bytes - size :]

    def rotate(self) -> None:
        for index in range(self.backups - 1, -1, -1):
            older = self._backup(index - 1)
            if older.exists():
                older.rename(self._backup(index))
        self.path.touch()

    def _backup(self, index: int) -> Path:
        return self.path if index < 0 else self.folder / f"{NAME}.{index}"

    @property
    def kept(self) -> bytes:
        files = [path for index in range(self.backups - 1, -2, -1) if (path := self._backup(index)).exists()]
        return b"".join(path.read_bytes() for path in files)

    @contextmanager
    def opened(self) -> Iterator[SerialLog]:
        with opened(str(self.folder), NAME) as log:
            yield log
