"""Reads a volume through libvirt's stream, for copies of volumes whose files this server cannot reach."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import IO, Any

import libvirt

from novacron_core.errors import Conflict
from novacron_server.hypervisor.storage.pieces import SparseChecksum, write_piece
from novacron_server.hypervisor.storage.volumes import find_volume

_CHUNK = 256 * 1024
_REPORT_EVERY_S = 0.25
_AT_HOLE = -3
"""What the stream returns instead of data; see virStreamRecvFlags."""


class Download:
    """Writes a volume's pieces to a pipe (None: discards them) and computes their checksum. Runs in a worker thread.

    Holes are not transferred. `progress` is called with the number of bytes received, holes included, at most four times a
    second.
    """

    def __init__(
        self, into: IO[bytes] | None, cancel: threading.Event, progress: Callable[[int], None] = lambda _: None
    ) -> None:
        self.cancel = cancel
        self.moved_at = time.monotonic()
        self.flushing = False
        self.checksum = ""
        self._into = into
        self._progress = progress
        self._reported_at = 0.0

    def run(self, connection: Any, pool: str, name: str) -> int:
        """Read the whole volume; returns its length in bytes. Raises Conflict when cancelled, libvirtError, OSError."""
        self.moved_at = time.monotonic()
        stream = connection.newStream(0)
        find_volume(connection, pool, name).download(stream, 0, 0, libvirt.VIR_STORAGE_VOL_DOWNLOAD_SPARSE_STREAM)
        try:
            received = self._receive(stream)
            stream.finish()
        except BaseException:
            _abort(stream)
            raise
        return received

    def _receive(self, stream: Any) -> int:
        checksum, received = SparseChecksum(), 0
        while chunk := stream.recvFlags(_CHUNK, libvirt.VIR_STREAM_RECV_STOP_AT_HOLE):
            if self.cancel.is_set():
                raise Conflict("the copy was cancelled")
            hole, data = (int(stream.recvHole()), b"") if chunk == _AT_HOLE else (0, chunk)
            if hole:
                checksum.add_hole(hole)
            else:
                checksum.add_data(data)
            if self._into is not None and (hole or data):
                write_piece(self._into, data, hole)
            received += hole or len(data)
            now = self.moved_at = time.monotonic()
            if now - self._reported_at >= _REPORT_EVERY_S:
                self._reported_at = now
                self._progress(received)
        self.checksum = checksum.result()
        return received


def _abort(stream: Any) -> None:
    try:
        stream.abort()
    except libvirt.libvirtError:
        return  # the stream or the connection is closed already
