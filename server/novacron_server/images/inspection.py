"""Is a file the image it claims to be? Asked of qemu-img under limits, before anything is made from it.

A qcow2 may name a backing or data file of the host, and a raw file may be read as any format, so: the format is always
said, never guessed, and a file that leans on another is refused.
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


_HEADS = {
    b"QFI\xfb": "qcow2", b"QED\0": "QED", b"KDMV": "VMDK", b"COWD": "VMDK", b"# Disk Descriptor": "VMDK",
    b"LUKS\xba\xbe": "LUKS", b"vhdxfile": "VHDX", b"conectix": "VHD", b"<<< ": "VDI", b"Virtual HD": "VPC",
}  # fmt: skip
"""How images begin that name other files or mean other sizes. Whoever guesses (libvirt's pools do) would believe them."""


class Inspected(msgspec.Struct, frozen=True):
    """What qemu-img found. `size_bytes` is the guest's view, `file_bytes` the room it takes."""

    size_bytes: int
    file_bytes: int


async def inspect(path: Path, image_format: str, *, called: str = "") -> Inspected:
    """Look at an image file, `called` something else than its file. Raises InvalidArgument with the reason when it cannot be used."""
    if image_format not in FORMATS:
        raise errors.InvalidArgument(f"images are {' or '.join(FORMATS)}, not {image_format}")
    called = called or path.name
    if image_format == "raw" and (kind := await asyncio.to_thread(_looks_like, path)):
        raise errors.InvalidArgument(f"{called}: it is a {kind} image, not a raw one: convert it first")
    found = await _qemu_img(path, image_format, called)
    refused = _why_refused(found)
    if refused:
        raise errors.InvalidArgument(f"{called}: {refused}")
    return Inspected(size_bytes=int(found["virtual-size"]), file_bytes=path.stat().st_size)


def _looks_like(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(32)
    return next((kind for begins, kind in _HEADS.items() if head.startswith(begins)), "")


async def _qemu_img(path: Path, image_format: str, called: str) -> dict[str, Any]:
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
        raise errors.InvalidArgument(f"{called}: looking at it took too long") from e
    if process.returncode != 0 or len(out) > _MAX_OUTPUT:
        lines = err.decode(errors="replace").strip().splitlines()
        raise errors.InvalidArgument(f"{called} is no {image_format} image: {_without_path(lines[-1:], path, called)}")
    found: dict[str, Any] = msgspec.json.decode(out)
    return found


def _limits() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CPU, (_TIMEOUT_S, _TIMEOUT_S))


def _without_path(lines: list[str], path: Path, called: str) -> str:
    text = lines[0] if lines else "qemu-img refused it"
    return text.replace(str(path), called).removeprefix("qemu-img: ")


def _why_refused(found: dict[str, Any]) -> str | None:
    special = found.get("format-specific", {}).get("data", {})
    if found.get("backing-filename") or found.get("full-backing-filename"):
        return "it leans on a backing file"
    if special.get("data-file"):
        return "it keeps its data in another file"
    if special.get("corrupt"):
        return "it is marked corrupt"
    if found.get("encrypted"):
        return "it is encrypted"
    size = found.get("virtual-size", 0)
    if not isinstance(size, int) or size < 512:
        return "it has no size"
    return None
