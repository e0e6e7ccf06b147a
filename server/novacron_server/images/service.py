"""The images of this server: files in its images directory, and the Alpine image if the `demo` extra is installed."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from novacron_core import errors
from novacron_core.api.images import Image, ImageQuery
from novacron_core.values.names import IMAGE_NAME_PATTERN
from novacron_server.file_calls import CHANGE_LIMIT_S, FILE_CALLS
from novacron_server.images.arrival import MAX_IMAGE_BYTES, Arrival, name_taken, sweep
from novacron_server.images.demo_guest import DemoGuest
from novacron_server.images.folder import DEMO_SOURCE, Entry, files_named, read_folder, remove_image
from novacron_server.images.inspection import MAX_VIRTUAL_BYTES, Inspected, inspect
from novacron_server.images.writers import is_being_written

T = TypeVar("T")
_NAME = re.compile(IMAGE_NAME_PATTERN)
_FileVersion = tuple[str, int, int, int]
"""A file's path, inode, modification time in ns, and size: together they change with every write."""
_Version = tuple[_FileVersion, ...]
"""Those of an image and its boot files."""
_CONCURRENT_CHECKS = 2
_CONCURRENT_UPLOADS = 8
_UPLOAD_RETRY_S = 10.0
_PATIENCE_S = 5.0
"""How long a request waits for a check. Large images take longer; the check goes on."""
_RETRY_S = 60.0
"""After a failure of qemu-img itself, how long the image is not checked again."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image and the files that belong to it. `version` is that of all of them when it was inspected."""

    image: Image
    path: Path
    version: _Version
    why_not_grow: str = ""
    kernel: Path | None = None
    initrd: Path | None = None
    cmdline: str = ""

    def has_changed(self) -> bool:
        """Whether one of the files was written since. One that was deleted, or replaced by a new file, was not. Raises
        Conflict, also when the images directory does not respond. Blocks; called in a thread."""
        return any(_has_changed(version) for version in self.version)


class Images:
    """The images directory is read at every listing; results of inspections are kept while a file is unchanged."""

    def __init__(
        self,
        directory: Path,
        *,
        max_bytes: int = MAX_IMAGE_BYTES,
        max_virtual_bytes: int = MAX_VIRTUAL_BYTES,
        demo_guest: DemoGuest | None = None,
    ) -> None:
        """`max_bytes` limits the file of an upload, `max_virtual_bytes` the disk that an image is. Without `demo_guest`
        the image of the `demo` extra is offered as it is packaged."""
        self._directory = directory
        self._max_bytes = max_bytes
        self._max_virtual_bytes = max_virtual_bytes
        self._demo_guest = demo_guest
        with suppress(errors.Conflict):
            FILE_CALLS.run(str(directory), lambda: sweep(directory))
        self._results: dict[_Version, Inspected | errors.NovaCronError] = {}
        self._checks: dict[_Version, asyncio.Task[Inspected | errors.NovaCronError]] = {}
        self._arriving = 0
        self._slots = asyncio.Semaphore(_CONCURRENT_CHECKS)

    async def list(self) -> list[Image]:
        """All files of the directory by name; `problem` is why one cannot be used."""
        found = await asyncio.gather(*(self._image(entry) for entry in await self._find()))
        return sorted(filter(None, found), key=lambda image: image.name)

    async def get(self, name: str) -> ImageFile:
        """A usable image. Raises NotFound, InvalidArgument with the reason when it cannot be used, Conflict when it
        cannot be used yet, Internal or Unsupported when it cannot be checked."""
        for entry, known in await self._find_versions(name) if _NAME.fullmatch(name) else ():
            if entry.problem:
                raise errors.Conflict(entry.problem) if entry.busy else errors.InvalidArgument(entry.problem)
            try:
                version = known if known is not None else await self._call(partial(_version, entry.files))
                result = await self._result(entry, version)
            except FileNotFoundError:
                break
            if isinstance(result, errors.NovaCronError):
                raise type(result)(result.detail)
            return ImageFile(
                image=_describe(entry, result),
                path=entry.file,
                version=version,
                why_not_grow=result.why_not_grow,
                kernel=entry.kernel,
                initrd=entry.initrd,
                cmdline=entry.cmdline,
            )
        raise errors.NotFound(f"No image named {name}")

    async def put(self, name: str, query: ImageQuery, stream: AsyncIterator[bytes], length: int | None) -> Image:
        """Store a new image. Raises what `Arrival.receive` raises, Conflict when the name is taken, RateLimited while too
        many others arrive."""
        if not _NAME.fullmatch(name):
            raise errors.NotFound("An image name consists of lower-case letters, digits, dots, hyphens and underscores")
        if not query.replace and await self._find(name):
            raise errors.Conflict(name_taken(name))
        if self._arriving >= _CONCURRENT_UPLOADS:
            wait = f"{_CONCURRENT_UPLOADS} images are being uploaded: try again when one of them is complete"
            raise errors.RateLimited(wait, retry_after_s=_UPLOAD_RETRY_S)
        arrival = Arrival(self._directory, name, query, self._max_bytes, self._max_virtual_bytes)
        self._arriving += 1
        try:
            sha256, inspected = await arrival.receive(stream, length)
        finally:
            self._arriving -= 1
        entry = await self._find_one(name)
        try:
            self._results[await self._call(lambda: _version(entry.files))] = inspected
        except FileNotFoundError:  # deleted in the meantime
            raise errors.NotFound(f"No image named {name}") from None
        return _describe(entry, inspected, sha256=sha256)

    async def delete(self, name: str) -> None:
        """Delete an image with its boot files. Raises NotFound, Conflict when it is not in the images directory, or cannot
        be deleted."""
        entry = await self._find_one(name)
        if entry.path.parent != self._directory:
            raise errors.Conflict(f"{name} is part of the {entry.source} and cannot be deleted")
        await self._call(lambda: remove_image(entry))

    async def _find(self, name: str = "") -> Sequence[Entry]:
        """All entries, or those of the image with this name, the usable one first."""
        return [entry for entry, _ in await self._find_versions(name)]

    async def _find_versions(self, name: str) -> Sequence[tuple[Entry, _Version | None]]:
        """The entries, each with the version that its files had, as far as that was read with the directory."""
        found = await self._call(
            lambda: [(entry, _known_version(entry)) for entry in read_folder(self._directory, name)]
        )
        entries = []
        for entry, version in found:
            prepared = await self._prepared(entry)
            entries.append((prepared, version if prepared is entry else None))
        return sorted(entries, key=lambda item: bool(item[0].problem))

    async def _prepared(self, entry: Entry) -> Entry:
        if self._demo_guest is None or entry.source != DEMO_SOURCE:
            return entry
        return await self._demo_guest.offer(entry)

    async def close(self) -> None:
        if self._demo_guest is not None:
            await self._demo_guest.close()

    async def _find_one(self, name: str) -> Entry:
        """The image's entry, usable or not. Raises NotFound."""
        files = await self._call(lambda: files_named(self._directory, name))
        for entry in await self._find(name) if _NAME.fullmatch(name) else ():
            if entry.path in files or entry.path.parent != self._directory:
                return entry
        raise errors.NotFound(f"No image named {name}")

    async def _image(self, entry: Entry) -> Image | None:
        """The inspected image, or the file with its problem; None when it was deleted in the meantime."""
        if entry.problem:
            return _describe(entry, errors.InvalidArgument(entry.problem))
        try:
            version = await self._call(lambda: _version(entry.files))
            return _describe(entry, await self._result(entry, version))
        except FileNotFoundError:
            return None
        except (OSError, errors.NovaCronError) as error:  # one bad image must not hide the others (G14)
            return _describe(entry, error if isinstance(error, errors.NovaCronError) else _refused(error))

    async def _call(self, work: Callable[[], T]) -> T:
        """Make a call about files of the images directory. Raises FileNotFoundError, Conflict with the reason when it is
        refused, or when the directory does not respond."""
        try:
            return await FILE_CALLS.call(str(self._directory), work, limit_s=CHANGE_LIMIT_S)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _refused(error) from error

    async def _result(self, entry: Entry, version: _Version) -> Inspected | errors.NovaCronError:
        """What the inspection found, or why the image cannot be used (now). Raises FileNotFoundError."""
        if (known := self._results.get(version)) is not None:
            return known
        if version not in self._checks and (path := await _being_written(entry.files)):
            return _still_written(path)
        check = self._checks.get(version)
        if check is None:
            check = self._checks[version] = asyncio.create_task(self._inspect(entry, version))
            check.add_done_callback(lambda _: self._checks.pop(version, None))
        if not (await asyncio.wait({check}, timeout=_PATIENCE_S))[0]:
            return errors.Conflict(f"{entry.path.name} is still being checked: try again in a moment")
        return check.result()

    async def _inspect(self, entry: Entry, version: _Version) -> Inspected | errors.NovaCronError:
        result: Inspected | errors.NovaCronError
        async with self._slots:
            try:
                result = await inspect(entry.file, label=entry.path.name, max_bytes=self._max_virtual_bytes)
            except errors.NovaCronError as error:
                result = error
        now = await self._call(lambda: _version(entry.files))
        if changed := next(
            (path for path, old, new in zip(entry.files, version, now, strict=True) if old != new), None
        ):
            return _still_written(changed)
        self._results[version] = result
        if isinstance(result, (errors.Internal, errors.Unsupported)):
            asyncio.get_running_loop().call_later(_RETRY_S, self._results.pop, version, None)
        return result


def _version(files: Iterable[Path]) -> _Version:
    return tuple(_file_version(path) for path in files)


def _known_version(entry: Entry) -> _Version | None:
    """Its version; None for an entry that cannot be used, or whose files are gone again."""
    with suppress(OSError):
        return None if entry.problem else _version(entry.files)
    return None


def _file_version(path: Path) -> _FileVersion:
    found = path.stat()
    return str(path), found.st_ino, found.st_mtime_ns, found.st_size


def _has_changed(version: _FileVersion) -> bool:
    path = Path(version[0])
    try:
        now = FILE_CALLS.run(str(path), lambda: _file_version(path), limit_s=CHANGE_LIMIT_S)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _refused(error) from error
    return now[1] == version[1] and now != version


async def _being_written(files: Iterable[Path]) -> Path | None:
    """The first of these files that is still being written."""
    files = list(files)
    written = await asyncio.gather(*(is_being_written(path) for path in files))
    return next((path for path, is_written in zip(files, written, strict=True) if is_written), None)


def _still_written(path: Path) -> errors.NovaCronError:
    return errors.Conflict(f"{path.name} is still being written: wait until its copy or download is complete")


def _refused(error: OSError) -> errors.NovaCronError:
    """The refusal of a call to the images directory, as a sentence."""
    name = Path(os.fsdecode(error.filename)).name if error.filename else "a file"
    return errors.Conflict(f"the server has no access to {name} in its images directory: {error.strerror or error}")


def _describe(entry: Entry, result: Inspected | errors.NovaCronError, *, sha256: str = "") -> Image:
    image = Image(
        name=entry.name,
        format="",
        size_bytes=0,
        file_bytes=0,
        description=entry.description,
        direct_boot=entry.kernel is not None,
        source=entry.source,
        sha256=sha256,
    )
    if isinstance(result, errors.NovaCronError):
        return msgspec.structs.replace(image, problem=result.detail)
    return msgspec.structs.replace(
        image, format=result.format, size_bytes=result.size_bytes, file_bytes=result.file_bytes
    )
