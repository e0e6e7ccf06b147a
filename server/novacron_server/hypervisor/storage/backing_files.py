"""Real paths and backing files, read from this machine's file systems: a stopped domain's XML does not contain them.

Blocks up to the limit of file calls. Of a file system that does not respond, what was read last is assumed: it must not
keep the files on others from being changed.
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
from novacron_server.file_calls import FILE_CALLS, DoesNotRespond, FileCalls

_QCOW2 = b"QFI\xfb"
_HEADER = struct.Struct(">4sIQI")
"""Magic, version, offset and length of the backing file's name (QEMU: docs/interop/qcow2.txt)."""
_MAX_NAME_BYTES = 1023
_MAX_CHAIN = 200
_MAX_REMEMBERED = 1 << 14
_remembered: dict[str, str] = {}
"""Image → the backing file that its header named when it was read last."""


class Files:
    """Resolves paths for one query. `local=False`: the files are on another machine; paths are only normalized."""

    def __init__(self, calls: FileCalls = FILE_CALLS, *, local: bool) -> None:
        self._local = local
        self._calls = calls
        self._folders: dict[str, str] = {}
        self._by_inode: dict[tuple[int, int], str] = {}

    def real(self, path: str) -> str:
        """The canonical path of a file that may have several."""
        path = os.path.normpath(path)
        if not self._local or not path.startswith("/"):
            return path
        folder, _, name = path.rpartition("/")
        folder = folder or "/"
        try:
            if folder not in self._folders:
                found, inode = self._calls.run(folder, lambda: _look_at(folder))
                # Bind mounts show a directory under several paths: the first one seen is the canonical one.
                self._folders[folder] = self._by_inode.setdefault(inode, found) if inode else found
            path = f"{self._folders[folder].rstrip('/')}/{name}"
            target, is_end = self._calls.run(path, lambda: _follow(path))
        except DoesNotRespond:
            return path
        return target if is_end else self.real(target)

    def chain(self, paths: Iterable[str]) -> set[str]:
        """The backing files of these images, directly and indirectly, according to their headers."""
        found: set[str] = set()
        pending = [self.real(path) for path in paths if self._local and path.startswith("/")]
        while pending and len(found) < _MAX_CHAIN:
            image = pending.pop()
            name = self._backing_file_of(image)
            backing_file = self.real(str(Path(image).parent / name)) if name else ""
            if backing_file and backing_file not in found:
                found.add(backing_file)
                pending.append(backing_file)
        return found

    def _backing_file_of(self, image: str) -> str:
        try:
            name = self._calls.run(image, lambda: _backing_file_of(image))
        except DoesNotRespond:
            return _remembered.get(image, "")
        if len(_remembered) >= _MAX_REMEMBERED:
            _remembered.clear()
        _remembered[image] = name
        return name


def _look_at(folder: str) -> tuple[str, tuple[int, int] | None]:
    """A directory without links, and its inode, None if it cannot be looked at."""
    real = os.path.realpath(folder)
    try:
        found = Path(real).stat()
    except OSError:
        return real, None
    return real, (found.st_dev, found.st_ino)


def _follow(path: str) -> tuple[str, bool]:
    """Where a path leads, and whether that is the end: it was no link, or is a circular one, which is not followed."""
    if not Path(path).is_symlink():
        return path, True
    target = os.path.realpath(path)
    return target, Path(target).is_symlink()


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
