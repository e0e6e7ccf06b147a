"""An image that is being sent: under a name nobody sees until it is whole, on the disk, and what it claims to be."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from secrets import token_hex
from shutil import disk_usage

from novacron_core import errors
from novacron_core.api.images import ImageQuery
from novacron_core.api.problem import FieldError
from novacron_core.values.sizes import GIB, MIB, size_text
from novacron_server.images.inspection import inspect

MAX_IMAGE_BYTES = 256 * GIB
_LEFT_FREE = 256 * MIB
"""What an upload leaves on the server's disk: a database lives there."""
_PIECE = MIB
FORMATS = {".qcow2": "qcow2", ".img": "raw", ".raw": "raw"}
"""By the suffix of an image's file."""
_SUFFIXES = {"qcow2": ".qcow2", "raw": ".img"}
"""What an upload is given."""
_NAMING = threading.Lock()
"""Two that arrive under one name in two formats would both find the other's file missing."""
_DRAFT = ".arriving-*.part"
_SILENCE_S = 60.0


def sweep(directory: Path) -> None:
    """Remove what a server that was killed had half received."""
    for draft in directory.glob(_DRAFT):
        draft.unlink(missing_ok=True)


class Arrival:
    """One upload into `directory`. `path` is where the image will be."""

    def __init__(self, directory: Path, name: str, query: ImageQuery, max_bytes: int) -> None:
        self.path = directory / f"{name}{_SUFFIXES[query.format]}"
        self._draft = directory / f".arriving-{token_hex(8)}.part"
        self._name, self._query, self._max_bytes = name, query, max_bytes

    async def receive(self, stream: AsyncIterator[bytes], length: int | None) -> str:
        """Take it all and give it its name; returns its SHA-256. Whatever fails leaves nothing.

        Raises TooLarge, Conflict (no room, name taken), ValidationFailed (another checksum), InvalidArgument (shorter
        than said, or no image that may be used).
        """
        self._check_length(length)
        await asyncio.to_thread(self.path.parent.mkdir, mode=0o711, parents=True, exist_ok=True)
        try:
            count, sha256 = await self._write(stream)
            if length is not None and count != length:
                raise errors.InvalidArgument(f"{count} bytes came of {length}")
            if self._query.sha256 and sha256 != self._query.sha256:
                message = f"what came has the checksum {sha256}"
                raise errors.ValidationFailed(message, fields=[FieldError(field="sha256", message=message)])
            await inspect(self._draft, self._query.format, called=self._name)
            await asyncio.to_thread(self._name_it)
        finally:
            self._draft.unlink(missing_ok=True)
        return sha256

    def _check_length(self, length: int | None) -> None:
        if (length or 0) > self._max_bytes:
            raise errors.TooLarge(f"an image has at most {size_text(self._max_bytes)}")
        if length == 0:
            raise errors.InvalidArgument("an image is not empty")

    async def _write(self, stream: AsyncIterator[bytes]) -> tuple[int, str]:
        digest, count, waiting = hashlib.sha256(), 0, bytearray()
        # Never through a link, never over a file: the name is nobody else's.
        handle = os.open(self._draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            async for chunk in _patiently(stream):
                count += len(chunk)
                if count > self._max_bytes:
                    raise errors.TooLarge(f"an image has at most {size_text(self._max_bytes)}")
                waiting += chunk
                if len(waiting) >= _PIECE:
                    piece, waiting = bytes(waiting), bytearray()
                    await asyncio.to_thread(self._put, handle, piece, digest)
            await asyncio.to_thread(self._put, handle, bytes(waiting), digest)
            await asyncio.to_thread(os.fsync, handle)
        except OSError as error:
            raise _no_space(error) from error
        finally:
            os.close(handle)
        return count, digest.hexdigest()

    def _put(self, handle: int, piece: bytes, digest: hashlib._Hash) -> None:
        if disk_usage(self._draft.parent).free < len(piece) + _LEFT_FREE:
            raise errors.Conflict("there is no space left on the server for this image")
        digest.update(piece)
        left = memoryview(piece)
        while left:
            left = left[os.write(handle, left) :]

    def _name_it(self) -> None:
        with _NAMING:
            self._give_name()

    def _give_name(self) -> None:
        """A name is one image's, whatever its format."""
        others = [self.path.with_name(f"{self._name}{suffix}") for suffix in FORMATS]
        others = [path for path in others if path != self.path and path.is_file()]
        if self._query.replace:
            self._draft.replace(self.path)
            for other in others:
                other.unlink(missing_ok=True)
        else:
            if others:
                raise errors.Conflict(f"there is an image {self._name} already")
            try:
                os.link(self._draft, self.path, follow_symlinks=False)
            except FileExistsError:
                raise errors.Conflict(f"there is an image {self._name} already") from None
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


async def _patiently(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The pieces as they come. Raises InvalidArgument when none comes for a minute: somebody went away."""
    while True:
        try:
            async with asyncio.timeout(_SILENCE_S):
                piece = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise errors.InvalidArgument("nothing came for a minute: the upload was given up") from None
        yield piece


def _no_space(error: OSError) -> Exception:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return errors.Conflict("there is no space left on the server for this image") if full else error
