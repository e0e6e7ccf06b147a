"""Real paths and backing files, read from this machine's file systems: a stopped domain's XML does not contain them.

Blocks, forever on a network file system that hangs.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from novacron_core.values.sizes import KIB

_QCOW2 = b"QFI\xfb"
_HEADER = struct.Struct(">4sIQI")
"""Magic, version, offset and length of the backing file's name (QEMU: docs/interop/qcow2.txt)."""
_MAX_NAME_BYTES = 1023
_MAX_CHAIN = 200


class Files:
    """Resolves paths for one query. `local=False`: the files are on another machine; paths are only normalized."""

    def __init__(self, *, local: bool) -> None:
        self._local = local
        self._folders: dict[str, str] = {}
        self._by_inode: dict[tuple[int, int], str] = {}

    def real(self, path: str) -> str:
        """The canonical path of a file that may have several."""
        path = os.path.normpath(path)
        if not self._local or not path.startswith("/"):
            return path
        folder, _, name = path.rpartition("/")
        if folder not in self._folders:
            self._folders[folder] = self._canonical(os.path.realpath(folder))
        path = f"{self._folders[folder].rstrip('/')}/{name}"
        if not Path(path).is_symlink():
            return path
        target = os.path.realpath(path)
        return target if Path(target).is_symlink() else self.real(target)  # a circular link is not followed

    def _canonical(self, folder: str) -> str:
        """The first path seen of a directory that bind mounts show under several paths."""
        try:
            found = Path(folder).stat()
        except OSError:
            return folder
        return self._by_inode.setdefault((found.st_dev, found.st_ino), folder)

    def chain(self, paths: Iterable[str]) -> set[str]:
        """The backing files of these images, directly and indirectly, according to their headers."""
        found: set[str] = set()
        pending = [self.real(path) for path in paths if self._local and path.startswith("/")]
        while pending and len(found) < _MAX_CHAIN:
            image = pending.pop()
            name = _backing_file_of(image)
            backing_file = self.real(str(Path(image).parent / name)) if name else ""
            if backing_file and backing_file not in found:
                found.add(backing_file)
                pending.append(backing_file)
        return found


def _backing_file_of(image: str) -> str:
    """The backing file named in a qcow2 image's header; empty if there is none or the file is not qcow2."""
    try:
        mode = Path(image).stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):  # opening a pipe blocks, opening a device may have effects
            return ""
        with Path(image).open("rb", buffering=0) as file:
            head = file.read(_HEADER.size)
            if len(head) < _HEADER.size:
                return ""
            magic, _version, offset, length = _HEADER.unpack(head)
            if magic != _QCOW2 or not offset or not 0 < length <= _MAX_NAME_BYTES or offset > 64 * KIB * KIB:
                return ""
            file.seek(offset)
            name = _file_name(file.read(length).decode(errors="surrogateescape"))
            return "" if "\0" in name else name
    except (OSError, ValueError):
        return ""


def _file_name(name: str) -> str:
    """The file in any of QEMU's notations for an image: a path, `file:…` or `json:{…}`."""
    if name.startswith("json:"):
        try:
            return _file_name(_json_file_name(msgspec.json.decode(name[5:])))
        except (msgspec.DecodeError, RecursionError):
            return ""
    return name.removeprefix("file:")


def _json_file_name(node: Any) -> str:
    if not isinstance(node, dict):
        return ""
    found = node.get("filename") or node.get("file.filename")
    return found if isinstance(found, str) else _json_file_name(node.get("file"))
