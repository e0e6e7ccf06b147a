"""Paths and overlays as this machine's own file systems have them: what the documents of stopped domains do not say.

Blocks, for ever on a network file system that hangs.
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
"""Magic, version, where the backing file's name is, and how long it is (QEMU: docs/interop/qcow2.txt)."""
_LONGEST_NAME = 1023
_LONGEST_CHAIN = 200


class Files:
    """One look. `local=False`: the files are another machine's, and paths are compared as they are written."""

    def __init__(self, *, local: bool) -> None:
        self._local = local
        self._folders: dict[str, str] = {}
        self._by_inode: dict[tuple[int, int], str] = {}

    def real(self, path: str) -> str:
        """The one name of a file that may have several."""
        path = os.path.normpath(path)
        if not self._local or not path.startswith("/"):
            return path
        folder, _, name = path.rpartition("/")
        if folder not in self._folders:
            self._folders[folder] = self._one_of(os.path.realpath(folder))
        path = f"{self._folders[folder].rstrip('/')}/{name}"
        if not Path(path).is_symlink():
            return path
        target = os.path.realpath(path)
        return target if Path(target).is_symlink() else self.real(target)  # one that leads to itself stays one

    def _one_of(self, folder: str) -> str:
        """The first name seen of a folder that bind mounts show under several."""
        try:
            at = Path(folder).stat()
        except OSError:
            return folder
        return self._by_inode.setdefault((at.st_dev, at.st_ino), folder)

    def chain(self, paths: Iterable[str]) -> set[str]:
        """The files that these images lean on, by what their own headers say."""
        found: set[str] = set()
        waiting = [self.real(path) for path in paths if self._local and path.startswith("/")]
        while waiting and len(found) < _LONGEST_CHAIN:
            image = waiting.pop()
            name = _backing_file_of(image)
            below = self.real(str(Path(image).parent / name)) if name else ""
            if below and below not in found:
                found.add(below)
                waiting.append(below)
        return found


def _backing_file_of(image: str) -> str:
    """What a qcow2 image names as its backing file, empty for none and for what is no such image."""
    try:
        kind = Path(image).stat().st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISBLK(kind)):  # opening a pipe would wait, a device may act
            return ""
        with Path(image).open("rb", buffering=0) as file:
            head = file.read(_HEADER.size)
            if len(head) < _HEADER.size:
                return ""
            magic, _version, offset, length = _HEADER.unpack(head)
            if magic != _QCOW2 or not offset or not 0 < length <= _LONGEST_NAME or offset > 64 * KIB * KIB:
                return ""
            file.seek(offset)
            name = _file_name(file.read(length).decode(errors="surrogateescape"))
            return "" if "\0" in name else name
    except (OSError, ValueError):
        return ""


def _file_name(name: str) -> str:
    """The file in one of QEMU's ways to name an image: a path, `file:…` or `json:{…}`."""
    if name.startswith("json:"):
        try:
            return _file_name(_named(msgspec.json.decode(name[5:])))
        except (msgspec.DecodeError, RecursionError):
            return ""
    return name.removeprefix("file:")


def _named(node: Any) -> str:
    if not isinstance(node, dict):
        return ""
    found = node.get("filename") or node.get("file.filename")
    return found if isinstance(found, str) else _named(node.get("file"))
