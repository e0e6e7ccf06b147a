"""Receives an uploaded image: it stays under a hidden name until it is complete, on disk and verified."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from secrets import token_hex
from shutil import disk_usage
from typing import IO, TypeVar

import structlog

from novacron_core import errors
from novacron_core.api.images import ImageQuery
from novacron_core.api.problem import FieldError
from novacron_core.values.sizes import GIB, KIB, MIB, size_text
from novacron_server.file_calls import CHANGE_LIMIT_S, FILE_CALLS
from novacron_server.images.folder import files_named
from novacron_server.images.inspection import Inspected, inspect
from novacron_server.renaming import rename_without_replacing

MAX_IMAGE_BYTES = 256 * GIB
_MIN_FREE_BYTES = 256 * MIB
"""Free space that an upload must leave on the server's disk, because a database may be there too."""
_PIECE_BYTES = MIB
_SUFFIXES = {"qcow2": ".qcow2", "raw": ".img"}
"""Format of an upload → the suffix of its file."""
_RENAME_LOCK = threading.Lock()
"""Without it, two uploads of one name in two formats would not see each other's file."""
_NO_SPACE = "Not enough disk space on the server for this image"
_DRAFT = ".arriving-*.part"
_TIMEOUT_S = 60.0
_MIN_RATE_BYTES_S = KIB
_RATE_OVER_S = 300.0
_FLUSH_S = 600.0
T = TypeVar("T")
_log = structlog.get_logger()


def sweep(directory: Path) -> None:
    """Remove incomplete uploads that a killed server left behind, as far as that is possible."""
    try:
        for draft in directory.glob(_DRAFT):
            draft.unlink(missing_ok=True)
    except OSError as error:
        _log.warning("cannot remove incomplete uploads", directory=str(directory), reason=error.strerror)


class Arrival:
    """One upload into `directory`. `path` is the final place of the image."""

    def __init__(self, directory: Path, name: str, query: ImageQuery, max_bytes: int, max_virtual_bytes: int) -> None:
        self.path = directory / f"{name}{_SUFFIXES[query.format]}"
        self._draft = directory / f".arriving-{token_hex(8)}.part"
        self._name, self._query = name, query
        self._max_bytes, self._max_virtual_bytes = max_bytes, max_virtual_bytes

    async def receive(self, stream: AsyncIterator[bytes], length: int | None) -> tuple[str, Inspected]:
        """Receive the whole image, verify it and move it to its place; returns its SHA-256 and what it is.

        A failure leaves nothing. `length` is the expected size in bytes, None when it is unknown. Raises TooLarge,
        Conflict (no space, name taken, no access to the directory), ValidationFailed (wrong checksum), InvalidArgument
        (wrong length, too slow, or not a usable image), Internal and Unsupported (qemu-img cannot check it).
        """
        self._check_length(length)
        folder = self.path.parent
        await self._call(lambda: folder.mkdir(mode=0o711, parents=True, exist_ok=True))
        try:
            count, sha256 = await self._write(stream)
            if length is not None and count != length:
                raise errors.InvalidArgument(f"Upload incomplete: received {count} of {length} bytes")
            if self._query.sha256 and sha256 != self._query.sha256:
                message = f"Wrong checksum: the received file has {sha256}"
                raise errors.ValidationFailed(message, fields=[FieldError(field="sha256", message=message)])
            if count == 0:
                raise errors.InvalidArgument("The image is empty")
            inspected = await inspect(
                self._draft, self._query.format, label=self._name, max_bytes=self._max_virtual_bytes
            )
            await self._call(self._move_into_place, limit_s=_FLUSH_S)
        finally:
            with suppress(errors.NovaCronError):
                await self._call(lambda: self._draft.unlink(missing_ok=True))
        return sha256, inspected

    def _check_length(self, length: int | None) -> None:
        if (length or 0) > self._max_bytes:
            raise errors.TooLarge(f"The image is too large: at most {size_text(self._max_bytes)}")
        if length == 0:
            raise errors.InvalidArgument("The image is empty")

    async def _write(self, stream: AsyncIterator[bytes]) -> tuple[int, str]:
        digest, count, buffer = hashlib.sha256(), 0, bytearray()
        file = await self._call(self._open)
        try:
            async for chunk in _flowing(stream):
                count += len(chunk)
                if count > self._max_bytes:
                    raise errors.TooLarge(f"The image is too large: at most {size_text(self._max_bytes)}")
                buffer += chunk
                if len(buffer) >= _PIECE_BYTES:
                    piece, buffer = bytes(buffer), bytearray()
                    await self._call(partial(self._write_piece, file, piece, digest), limit_s=_TIMEOUT_S)
            await self._call(lambda: self._write_piece(file, bytes(buffer), digest), limit_s=_TIMEOUT_S)
            await self._call(lambda: os.fsync(file.fileno()), limit_s=_FLUSH_S)
        finally:
            with suppress(errors.NovaCronError):  # it flushes on a network file system; what hangs holds the file
                await self._call(file.close)
        return count, digest.hexdigest()

    async def _call(self, work: Callable[[], T], *, limit_s: float = CHANGE_LIMIT_S) -> T:
        """Make a call about the images directory. Raises Conflict when it is refused, or not answered in time."""
        try:
            return await FILE_CALLS.call(str(self.path.parent), work, limit_s=limit_s)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise errors.Conflict(_NO_SPACE) from error
            why = f"The server cannot store images in {self.path.parent}: {error.strerror or error}"
            raise errors.Conflict(why) from error

    def _open(self) -> IO[bytes]:
        # Never follow a link or overwrite a file: the draft must be a new file.
        handle = os.open(self._draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        # As a file object: a thread that is given up never writes into another file with the same number.
        return os.fdopen(handle, "wb", buffering=0)

    def _write_piece(self, file: IO[bytes], piece: bytes, digest: hashlib._Hash) -> None:
        if disk_usage(self._draft.parent).free < len(piece) + _MIN_FREE_BYTES:
            raise errors.Conflict(_NO_SPACE)
        digest.update(piece)
        remaining = memoryview(piece)
        while remaining:
            remaining = remaining[file.write(remaining) :]

    def _move_into_place(self) -> None:
        with _RENAME_LOCK:
            self._rename()

    def _rename(self) -> None:
        """Give the draft its name; a name belongs to one image only, in any format. Raises Conflict when it is taken."""
        others = [path for path in files_named(self.path.parent, self._name) if path != self.path]
        if self._query.replace:
            self._draft.replace(self.path)
            for other in others:
                other.unlink(missing_ok=True)
        else:
            if others:
                raise errors.Conflict(name_taken(self._name))
            try:
                rename_without_replacing(self._draft, self.path)
            except FileExistsError:
                raise errors.Conflict(name_taken(self._name)) from None
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def name_taken(name: str) -> str:
    """The sentence that refuses an upload whose name is in use."""
    return f"An image named {name} already exists. Choose another name, or replace it."


async def _flowing(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The chunks of the stream. Raises InvalidArgument when none arrives for a minute, or hardly any for some: whoever
    sends a byte now and then would keep a descriptor and the disk for ever. The time that the server takes to write what
    it has received does not count."""
    waited_s, count = 0.0, 0
    while True:
        began = time.monotonic()
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                piece = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise errors.InvalidArgument("Upload aborted: no data for a minute") from None
        waited_s += time.monotonic() - began
        count += len(piece)
        if waited_s >= _RATE_OVER_S:
            if count < _MIN_RATE_BYTES_S * waited_s:
                slow = f"less than {size_text(_MIN_RATE_BYTES_S)}/s for {_RATE_OVER_S / 60:.0f} minutes"
                raise errors.InvalidArgument(f"Upload aborted: {slow}")
            waited_s, count = 0.0, 0
        yield piece
