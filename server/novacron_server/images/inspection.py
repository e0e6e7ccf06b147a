"""Checks with qemu-img, under resource limits, that a file is the image it claims to be, before anything uses it.

A qcow2 may name a backing file or data file of the host, and a raw file may be read as any format. So the format is
always given, never guessed, and an image that refers to another file is refused.
"""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path
from typing import Any

import msgspec

from novacron_core import errors

_TIMEOUT_S = 20
_ADDRESS_SPACE = 1 << 30
_MAX_OUTPUT = 1 << 20
FORMATS = ("qcow2", "raw")


_MAGIC = {
    b"QFI\xfb": "qcow2", b"QED\0": "QED", b"KDMV": "VMDK", b"COWD": "VMDK", b"# Disk Descriptor": "VMDK",
    b"LUKS\xba\xbe": "LUKS", b"vhdxfile": "VHDX", b"conectix": "VHD", b"<<< ": "VDI", b"Virtual HD": "VPC",
}  # fmt: skip
"""The first bytes of formats that can refer to other files or give another size. Software that guesses the format, like
libvirt's pools, would trust them."""


class Inspected(msgspec.Struct, frozen=True):
    """What qemu-img found. `size_bytes` is the size of the guest's disk, `file_bytes` that of the file."""

    size_bytes: int
    file_bytes: int


async def inspect(path: Path, image_format: str, *, label: str = "") -> Inspected:
    """Inspect an image file; errors call it `label`, or by its file name.

    Raises InvalidArgument with the reason when it cannot be used.
    """
    if image_format not in FORMATS:
        raise errors.InvalidArgument(f"The image format must be {' or '.join(FORMATS)}, not {image_format}")
    label = label or path.name
    if image_format == "raw" and (kind := await asyncio.to_thread(_detect_format, path)):
        raise errors.InvalidArgument(f"{label} is a {kind} image, not a raw one. Convert it first.")
    found = await _qemu_img(path, image_format, label)
    refused = _why_refused(found)
    if refused:
        raise errors.InvalidArgument(f"{label} {refused}")
    return Inspected(size_bytes=int(found["virtual-size"]), file_bytes=path.stat().st_size)


def _detect_format(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(32)
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), "")


async def _qemu_img(path: Path, image_format: str, label: str) -> dict[str, Any]:
    command = ["qemu-img", "info", "--output=json", "-f", image_format, f"file:{path}"]
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            preexec_fn=_limits,
        )
    except FileNotFoundError as e:
        raise errors.Unsupported("qemu-img is not installed on the server") from e
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            out, err = await process.communicate()
    except TimeoutError as e:
        process.kill()
        await process.wait()
        raise errors.InvalidArgument(f"{label} could not be checked in time") from e
    if process.returncode != 0 or len(out) > _MAX_OUTPUT:
        lines = err.decode(errors="replace").strip().splitlines()
        raise errors.InvalidArgument(f"{label} is not a {image_format} image: {_without_path(lines[-1:], path, label)}")
    found: dict[str, Any] = msgspec.json.decode(out)
    return found


def _limits() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CPU, (_TIMEOUT_S, _TIMEOUT_S))


def _without_path(lines: list[str], path: Path, label: str) -> str:
    text = lines[0] if lines else "qemu-img refused it"
    return text.replace(str(path), label).removeprefix("qemu-img: ")


def _why_refused(found: dict[str, Any]) -> str | None:
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
    return None
