"""What libvirt does not say about the files in a pool, read from their headers where this machine has the files.

Sources: QEMU's docs/interop/qcow2.txt, and its block drivers for the signatures of the formats that libvirt calls raw.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Collection, Iterable
from pathlib import Path

import msgspec

from novacron_core.errors import Conflict
from novacron_server.file_calls import CHANGE_LIMIT_S, FILE_CALLS, FileCalls
from novacron_server.hypervisor.facts import VolumeFacts

_HEAD_BYTES = 4096
_FORMATS = {
    b"vhdxfile": "vhdx",
    b"LUKS\xba\xbe": "luks",
    b"KDMV": "vmdk",
    b"COWD": "vmdk",
    b"conectix": "vpc",
    b"QED\0": "qed",
    b"WithoutFreeSpace": "parallels",
    b"WithouFreSpacExt": "parallels",
    b"Bochs Virtual HD Image": "bochs",
}
"""First bytes → the format, by QEMU's name."""
_QCOW2 = b"QFI\xfb"
_DATA_FILE = 0x44415441
_HAS_DATA_FILE = 1 << 2
_MAX_REMEMBERED = 1 << 16

_Key = tuple[str, int, int]
"""A file's path, modification time in ns, and size: together they change with every write."""


class Headers:
    """Reads the headers of one host's volumes, and each file's again only when it has changed."""

    def __init__(self, calls: FileCalls = FILE_CALLS) -> None:
        self._calls = calls
        self._read: dict[_Key, tuple[str, str, int]] = {}

    def complete(self, folder: str, volumes: Collection[VolumeFacts]) -> list[VolumeFacts]:
        """The volumes of the pool in `folder` with the formats that libvirt does not know, and with what is odd about
        them. Unchanged where the file is another one here than for libvirt (a mount namespace), or the directory does
        not respond. Blocks up to the limit of file calls."""
        paths = {volume.path for volume in volumes}
        try:
            return self._calls.run(folder, lambda: self._complete(volumes, paths), limit_s=CHANGE_LIMIT_S)
        except Conflict:
            return list(volumes)

    def _complete(self, volumes: Iterable[VolumeFacts], paths: Collection[str]) -> list[VolumeFacts]:
        if len(self._read) > _MAX_REMEMBERED:
            self._read.clear()
        return [self._completed(volume, paths) for volume in volumes]

    def _completed(self, volume: VolumeFacts, paths: Collection[str]) -> VolumeFacts:
        if volume.format not in ("raw", "qcow2") or volume.modified_ns is None:
            return volume
        key = (volume.path, volume.modified_ns, volume.file_bytes)
        if (known := self._read.get(key)) is None:
            head = _head_of(volume)
            if head is None:
                return volume
            known = self._read[key] = (_FORMATS.get(_signature(head), ""), _data_file(head), _snapshots(head))
        name, data_file, snapshots = known
        if volume.format == "raw" and name:
            return msgspec.structs.replace(volume, format=name)
        inside = snapshots if volume.format == "qcow2" else 0
        return msgspec.structs.replace(volume, note=self._note(volume, data_file, paths), snapshots_inside=inside)

    def _note(self, volume: VolumeFacts, data_file: str, paths: Collection[str]) -> str:
        if volume.format == "qcow2" and data_file:
            return f"its data is in another file, {data_file}: keep both together"
        base = volume.backing_file
        if base.startswith("/") and base not in paths and self._is_missing(base):
            return f"its backing file {base} is missing: without it, it cannot be read"
        return ""

    def _is_missing(self, path: str) -> bool:
        try:
            return not self._calls.run(path, lambda: os.path.lexists(path))
        except Conflict:  # its directory does not respond: nobody knows
            return False


def _head_of(volume: VolumeFacts) -> bytes | None:
    """The first bytes of a volume's file; None if it is not this file here, or cannot be read."""
    try:
        handle = os.open(volume.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        found = os.fstat(handle)
        same = stat.S_ISREG(found.st_mode) and found.st_mtime_ns == volume.modified_ns
        return os.read(handle, _HEAD_BYTES) if same else None
    except OSError:
        return None
    finally:
        os.close(handle)


def _signature(head: bytes) -> bytes:
    return next((signature for signature in _FORMATS if head.startswith(signature)), b"")


def _snapshots(head: bytes) -> int:
    """How many snapshots a qcow2 image contains."""
    if len(head) < 64 or not head.startswith(_QCOW2):
        return 0
    return int.from_bytes(head[60:64], "big")


def _data_file(head: bytes) -> str:
    """The name of a qcow2 image's external data file; empty if it has none, `?` if it is not named in the header."""
    if len(head) < 104 or not head.startswith(_QCOW2) or int.from_bytes(head[4:8], "big") < 3:
        return ""
    features, length = struct.unpack_from(">Q", head, 72)[0], struct.unpack_from(">I", head, 100)[0]
    if not features & _HAS_DATA_FILE:
        return ""
    while length + 8 <= len(head):
        kind, size = struct.unpack_from(">II", head, length)
        if kind == _DATA_FILE:
            name = head[length + 8 : length + 8 + size].decode(errors="replace")
            return "".join(c for c in Path(name).name if c.isprintable())
        if kind == 0:
            break
        length += 8 + (size + 7) // 8 * 8
    return "?"
