"""Runs qemu-img under limits of memory and time, and tells its own failures from those of the image."""

from __future__ import annotations

import asyncio
import resource
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import msgspec

from novacron_core import errors

_MAX_OUTPUT = 1 << 20
_KEPT = 4096
"""How much of the end of its messages is kept: a damaged image can make millions of lines."""
_CUT_OFF = b"exceeding the end of the file"
_DAMAGED, _LEAKS = 2, 3
"""Exit codes of `qemu-img check`: errors were found; only clusters that nothing uses."""


@dataclass(frozen=True, slots=True)
class _Limits:
    """`seconds` of CPU time and of waiting, `address_space` in bytes."""

    seconds: int
    address_space: int


_FOR_INFO = _Limits(20, 1 << 30)
_FOR_CHECK = _Limits(120, 2 << 30)
"""A check reads all tables of the image and counts each cluster."""
_FOR_CONVERT = _Limits(300, 4 << 30)


@dataclass(frozen=True, slots=True)
class _Done:
    code: int
    out: bytes
    last_line: str
    cut_off: bool


async def read_info(path: Path, image_format: str, label: str) -> dict[str, Any]:
    """What `qemu-img info` says about the image. Raises InvalidArgument if it cannot read it, and what `_run` raises."""
    done = await _run(["info", "--output=json", "-f", image_format, f"file:{path}"], path, label, _FOR_INFO)
    if done.code != 0 or len(done.out) > _MAX_OUTPUT:
        raise errors.InvalidArgument(
            f"{label} is not a {image_format} image: {done.last_line or 'qemu-img refused it'}"
        )
    found: dict[str, Any] = msgspec.json.decode(done.out)
    return found


async def check_image(path: Path, label: str, *, dirty: bool) -> None:
    """Check a qcow2 image with `qemu-img check`. Raises InvalidArgument if it is damaged or incomplete, and what `_run`
    raises.

    `dirty`: its QEMU was killed, so its reference counts are wrong, and QEMU repairs them when a VM uses the image.
    """
    done = await _run(["check", "--output=json", "-f", "qcow2", f"file:{path}"], path, label, _FOR_CHECK)
    if done.cut_off:
        raise errors.InvalidArgument(
            f"{label} is incomplete: it refers to data behind the end of the file. Copy it again"
        )
    if done.code in (0, _LEAKS) or (dirty and done.code == _DAMAGED):
        return
    if done.code != _DAMAGED:
        raise errors.InvalidArgument(f"{label} cannot be checked: {done.last_line or 'qemu-img gave no reason'}")
    found = msgspec.json.decode(done.out[:_MAX_OUTPUT])
    raise errors.InvalidArgument(
        f"{label} is damaged: qemu-img check finds {found.get('corruptions', 0)} errors in it. Copy it again from its source"
    )


async def convert(source: Path, target: Path, wanted: Literal["raw", "qcow2"], label: str) -> None:
    """Convert an image of ours to a new file: qcow2 to raw, or raw to compressed qcow2. Raises Internal, and what `_run`
    raises."""
    formats = ["-f", "qcow2", "-O", "raw"] if wanted == "raw" else ["-f", "raw", "-O", "qcow2", "-c", "-W", "-m", "4"]
    done = await _run(["convert", *formats, f"file:{source}", f"file:{target}"], source, label, _FOR_CONVERT)
    if done.code:
        raise errors.Internal(f"{label} cannot be converted: {done.last_line or 'qemu-img gave no reason'}")


async def _run(arguments: list[str], path: Path, label: str, limits: _Limits) -> _Done:
    """Run qemu-img. Raises Unsupported (not installed), Internal (crashed, took too long, needed too much memory)."""
    try:
        process = await asyncio.create_subprocess_exec(
            "qemu-img",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            preexec_fn=partial(_limit, limits),
        )
    except FileNotFoundError as e:
        raise errors.Unsupported("qemu-img is not installed on the server") from e
    out, messages = _Tail(_MAX_OUTPUT + 1), _Tail(_KEPT)
    try:
        async with asyncio.timeout(limits.seconds):
            await asyncio.gather(_read(process.stdout, out.add), _read(process.stderr, messages.add))
            code = await process.wait()
    except TimeoutError as e:
        raise errors.Internal(_too_slow(label, limits)) from e
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        raise errors.Internal(_too_slow(label, limits))
    if code < 0:
        raise errors.Internal(f"qemu-img crashed while it checked {label} (signal {-code}). The image may be good")
    lines = messages.data.decode(errors="replace").strip().splitlines()
    last = lines[-1].replace(str(path), label).removeprefix("qemu-img: ") if lines else ""
    if code == 1 and "annot allocate memory" in last:
        raise errors.Internal(f"qemu-img needs more than {limits.address_space >> 30} GiB of memory to check {label}")
    return _Done(code, bytes(out.data), last, messages.cut_off)


class _Tail:
    """The last bytes of an output, and whether it said that the image is cut off."""

    def __init__(self, size: int) -> None:
        self.data = bytearray()
        self.cut_off = False
        self._size = size

    def add(self, piece: bytes) -> None:
        self.data += piece
        self.cut_off = self.cut_off or _CUT_OFF in self.data
        del self.data[: -self._size]


async def _read(stream: asyncio.StreamReader | None, add: Callable[[bytes], None]) -> None:
    while stream is not None and (piece := await stream.read(1 << 16)):
        add(piece)


def _limit(limits: _Limits) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (limits.address_space, limits.address_space))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.seconds, limits.seconds))


def _too_slow(label: str, limits: _Limits) -> str:
    return f"qemu-img could not check {label} within {limits.seconds} seconds: the server's disk may be slow. Try again later"
