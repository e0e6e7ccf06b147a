"""Reads a volume through libvirt's stream, for copies of volumes whose files this server cannot reach."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from typing import IO, Any

import libvirt

from novacron_core.errors import Conflict
from novacron_server.hypervisor.storage.volumes import find_volume

_CHUNK = 256 * 1024
_REPORT_EVERY_S = 0.25


class Download:
    """Writes a volume's bytes to a pipe (None: discards them) and computes their SHA-256. Runs in a worker thread.

    `progress` is called with the number of bytes received, at most four times a second.
    """

    def __init__(
        self, into: IO[bytes] | None, cancel: threading.Event, progress: Callable[[int], None] = lambda _: None
    ) -> None:
        self.cancel = cancel
        self.moved_at = time.monotonic()
        self.flushing = False
        self.sha256 = ""
        self._into = into
        self._progress = progress
        self._reported_at = 0.0

    def run(self, connection: Any, pool: str, name: str) -> int:
        """Read the whole volume; returns its length in bytes. Raises Conflict when cancelled, libvirtError, OSError."""
        self.moved_at = time.monotonic()
        stream = connection.newStream(0)
        find_volume(connection, pool, name).download(stream, 0, 0, 0)
        try:
            received = self._receive(stream)
            stream.finish()
        except BaseException:
            _abort(stream)
            raise
        return received

    def _receive(self, stream: Any) -> int:
        digest, received = hashlib.sha256(), 0
        while chunk := stream.recv(_CHUNK):
            if self.cancel.is_set():
                raise Conflict("the copy was cancelled")
            digest.update(chunk)
            left = memoryview(chunk)
            while self._into is not None and left:
                left = left[self._into.write(left) or 0 :]
            received += len(chunk)
            now = self.moved_at = time.monotonic()
            if now - self._reported_at >= _REPORT_EVERY_S:
                self._reported_at = now
                self._progress(received)
        self.sha256 = digest.hexdigest()
        return received


def _abort(stream: Any) -> None:
    try:
        stream.abort()
    except libvirt.libvirtError:
        return  # the stream or the connection is closed already
