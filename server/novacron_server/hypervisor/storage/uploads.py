"""Copies a file on this machine into a volume of any host, through libvirt's stream."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import IO, Any

import libvirt

from novacron_core.errors import Conflict
from novacron_server.hypervisor.storage.pieces import read_pieces
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
        written_bytes: int = 0,
    ) -> None:
        """`total_bytes` None: the source is a pipe of pieces (`write_piece`), to its end. The volume's holes are kept, but
        for the first `written_bytes`, which its creation may have written to."""
        self._written = written_bytes
        self._source = source
        self._total = total_bytes
        self.cancel = cancel
        self.moved_at = time.monotonic()
        self.flushing = False
        self._progress = progress
        self._sent = 0
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
            volume.upload(stream, 0, total or 0, libvirt.VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM if total is None else 0)
            try:
                if total is None:
                    self._send_pieces(stream, file)
                else:
                    self._send(stream, file, total)
                self.flushing = True
                stream.finish()  # the host writes what it has cached to the disk
            except BaseException:
                _abort(stream)
                raise
        volume.info()  # reads the header again: the size is now that of the image

    def _send(self, stream: Any, file: IO[bytes], total: int) -> None:
        self._report(0, total)
        while self._sent < total and (chunk := file.read(min(_CHUNK, total - self._sent))):
            self._send_data(stream, chunk, total)
        if self._sent < total:
            raise Conflict("the image shrank during the copy")
        if file.read(1):
            raise Conflict("the image grew during the copy")  # the volume would hold only part of it

    def _send_pieces(self, stream: Any, file: IO[bytes]) -> None:
        for data, hole in read_pieces(file):
            self._send_data(stream, data, 0)
            while hole and self._sent < self._written:
                zeros = bytes(min(hole, _CHUNK, self._written - self._sent))
                self._send_data(stream, zeros, 0)
                hole -= len(zeros)
            if hole:
                stream.sendHole(hole)
                self._sent += hole
                self._sent_some(0)

    def _send_data(self, stream: Any, data: bytes, total: int) -> None:
        left = memoryview(data)
        while left:
            count = stream.send(bytes(left))
            left = left[count:]
            self._sent += count
            self._sent_some(total)

    def _sent_some(self, total: int) -> None:
        if self.cancel.is_set():
            raise Conflict("the copy was cancelled")
        self.moved_at = time.monotonic()
        self._report(self._sent, total)

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
