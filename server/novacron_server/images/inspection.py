"""Checks with qemu-img, under resource limits, that a file is a whole image, before anything uses it.

The file's content decides the format (novacron_core.values.image_files), and qemu-img is told which it is: left to
itself it also accepts formats that NovaCron does not support. An image that refers to another file is refused: a qcow2
may name a backing file or data file of the host.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from novacron_core import errors
from novacron_core.api.base import Value
from novacron_core.values.image_files import (
    FileKind,
    Format,
    read_image_file,
    why_not_format,
    why_not_grow,
    why_not_standalone,
)
from novacron_core.values.sizes import TIB, size_text
from novacron_server.file_calls import CHANGE_LIMIT_S, FILE_CALLS
from novacron_server.images.qemu_img import check_image, read_info

MAX_VIRTUAL_BYTES = 64 * TIB


class Inspected(Value, frozen=True):
    """What an image is. `size_bytes` is the size of the guest's disk, `file_bytes` that of the file.

    `why_not_grow`: why a disk from the image cannot be larger, continuing a sentence that starts with its name.
    """

    format: Format
    size_bytes: int
    file_bytes: int
    why_not_grow: str = ""


async def inspect(
    path: Path, wanted: Format | None = None, *, label: str = "", max_bytes: int = MAX_VIRTUAL_BYTES
) -> Inspected:
    """Inspect an image file; errors call it `label`, or by its file name. `wanted` is the format that it must have.

    Raises InvalidArgument with the reason when it cannot be used, and Unsupported or Internal when qemu-img is missing
    or fails.
    """
    label = label or path.name
    found, head = await FILE_CALLS.call(str(path), lambda: _read(path, label), limit_s=CHANGE_LIMIT_S)
    refused = why_not_format(found, wanted, label) or why_not_standalone(head, label)
    if refused or found.format is None:
        raise errors.InvalidArgument(refused or f"{label} is not an image")
    info = await read_info(path, found.format, label)
    if why := _why_refused(info, max_bytes):
        raise errors.InvalidArgument(f"{label} {why}")
    if found.format == "qcow2":
        await check_image(path, label, dirty=bool(info.get("dirty-flag")))
    size = await FILE_CALLS.call(str(path), lambda: path.stat().st_size, limit_s=CHANGE_LIMIT_S)
    return Inspected(
        format=found.format,
        size_bytes=int(info["virtual-size"]),
        file_bytes=size,
        why_not_grow=why_not_grow(head) or "",
    )


def _read(path: Path, label: str) -> tuple[FileKind, bytes]:
    try:
        return read_image_file(path, label)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise errors.InvalidArgument(f"{label} cannot be read by the server: {error.strerror}") from error


def _why_refused(found: dict[str, Any], max_bytes: int) -> str | None:
    """The reason, continuing a sentence that starts with the image's name; None when the image can be used."""
    details = found.get("format-specific", {}).get("data", {})
    if found.get("backing-filename") or found.get("full-backing-filename"):
        return "has a backing file"
    if details.get("data-file"):
        return "has an external data file"
    if details.get("corrupt"):
        return "is marked as corrupt"
    if found.get("encrypted"):
        return "is encrypted"
    size = found.get("virtual-size", 0)
    if not isinstance(size, int) or size < 512:
        return "has no valid size"
    if size > max_bytes:
        return (
            f"is a disk of {size_text(size)}, and this server accepts at most {size_text(max_bytes)} "
            "(--max-virtual-size-gib)"
        )
    return None
