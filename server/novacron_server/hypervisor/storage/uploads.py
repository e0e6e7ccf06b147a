"""Copies a file on this machine into a volume of any host, through libvirt's stream."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import IO, Any

import libvirt

from novacron_core.errors import Conflict
from novacron_server.hypervisor.storage.volumes import find_volume

_CHUNK = 256 * 1024  # libvirt sends at most 262,120 bytes in one packet, so more at once gains nothing
_REPORT_EVERY_S = 0.25


class Upload:
    """One upload: runs in a worker thread, and is monitored and cancelled from another."""

    def __init__(
        self,
        source: Callable[[], IO[bytes]],
        total_bytes: int | None,
        progress: Callable[[int, int], None],
        cancel: threading.Event,
    ) -> None:
        self._source = source
        self._total = total_bytes
        self.cancel = cancel
        self.moved_at = time.monotonic()
        self.flushing = False
        self._progress = progress
        self._reported_at = 0.0

    def run(self, connection: Any, pool: str, name: str) -> None:
        """Send the whole file and make libvirt read the volume's properties again.

        Raises Conflict when cancelled, OSError if the file cannot be read, libvirtError.
        """
        self.moved_at = time.monotonic()
        volume = find_volume(connection, pool, name)
        total = self._total
        with self._source() as file:
            stream = connection.newStream(0)
            volume.upload(stream, 0, total or 0, 0)
            try:
                self._send(stream, file, total)
                self.flushing = True
                stream.finish()  # the host writes what it has cached to the disk
            except BaseException:
                _abort(stream)
                raise
        volume.info()  # reads the header again: the size is now that of the image

    def _send(self, stream: Any, file: IO[bytes], total: int | None) -> None:
        """`total` None: send until the end of the file."""
        sent = 0
        self._report(sent, total or 0)
        while (total is None or sent < total) and (chunk := file.read(min(_CHUNK, (total or sent + _CHUNK) - sent))):
            left = memoryview(chunk)
            while left:
                if self.cancel.is_set():
                    raise Conflict("the copy was cancelled")
                count = stream.send(bytes(left))
                left = left[count:]
                sent += count
                self.moved_at = time.monotonic()
                self._report(sent, total or 0)
        if total is not None and sent < total:
            raise Conflict("the image shrank during the copy")
        if total is not None and file.read(1):
            raise Conflict("the image grew during the copy")  # the volume would hold only part of it

    def _report(self, sent: int, total: int) -> None:
        now = time.monotonic()
        if sent == total or now - self._reported_at >= _REPORT_EVERY_S:
            self._reported_at = now
            self._progress(sent, total)


def _abort(stream: Any) -> None:
    try:
        stream.abort()
    except libvirt.libvirtError:
        return  # the stream or the connection is closed already
