"""A guest that writes numbered blocks to its disk and reports each after flushing it, and the log of its reports."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import libvirt

from novacron_core.api import vms
from tests.support.initrd import copy_kernel, write_initrd
from tests.support.storage import StorageServer

BLOCK = 4096
SCRIPT = """
n=0; last=
while :; do
  printf '%04096d' $n | dd of=/dev/vda bs=4096 seek=$n conv=notrunc,fsync 2>/dev/null || echo "FAILED $n" > /dev/console
  read up rest < /proc/uptime; now=${up%.*}${up#*.}
  [ -n "$last" ] && echo "wrote $n $((now - last))" > /dev/console
  last=$now; n=$((n + 1))
done
"""
_LINE = re.compile(rb"(wrote|FAILED) (\d+)(?: (\d+))?")


def add_image(images: Path, name: str = "writer", script: str = SCRIPT) -> None:
    """Add an image of 128 MiB whose guest runs `script`."""
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(images / f"{name}.qcow2"), "128M"], check=True)
    copy_kernel(images).rename(images / f"{name}.kernel")
    write_initrd(images, script).rename(images / f"{name}.initrd")
    (images / f"{name}.cmdline").write_text("console=ttyS0 quiet")


class WriteLog:
    """The guest's reports on its console, from now until `close`. Gaps are milliseconds between two flushed writes."""

    def __init__(self, uri: str, vm_id: str) -> None:
        self.numbers: list[int] = []
        self.gaps: list[int] = []
        self.failed: list[int] = []
        self._connection = libvirt.open(uri)
        self._stream = self._connection.newStream(0)
        self._connection.lookupByUUIDString(vm_id).openConsole(None, self._stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE)
        self._over = False
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        rest = b""
        with suppress(libvirt.libvirtError):
            while not self._over and (piece := self._stream.recv(4096)):
                lines = (rest + piece).split(b"\n")
                rest = lines.pop()
                for line in lines:
                    self._take(line)

    def _take(self, line: bytes) -> None:
        match = _LINE.search(line)
        if match is None:
            return
        (self.failed if match[1] == b"FAILED" else self.numbers).append(int(match[2]))
        if match[3]:
            self.gaps.append(int(match[3]) * 10)

    def close(self) -> None:
        self._over = True

    def wait_for(self, more: int, timeout_s: float = 60) -> None:
        """Wait until this many more writes have been reported. Blocks."""
        wanted, until = len(self.numbers) + more, time.monotonic() + timeout_s
        while len(self.numbers) < wanted:
            assert time.monotonic() < until, f"the guest reported {len(self.numbers)} writes instead of {wanted}"
            time.sleep(0.05)


async def started(storage: StorageServer, name: str, image: str = "writer") -> vms.VM:
    """Create and start a guest of one of these images."""
    body = vms.VMCreate(name=name, image=image, memory_bytes=160 << 20)
    await storage.succeeded(await storage.admin.call(vms.CREATE, body=body))
    return await storage.server.vm(name)


def missing(path: Path, numbers: list[int]) -> list[int]:
    """The blocks that are not on the disk as they were written."""
    raw = path.with_suffix(".raw-copy")
    subprocess.run(["qemu-img", "convert", "-O", "raw", str(path), str(raw)], check=True)
    try:
        with raw.open("rb") as file:
            return [n for n in numbers if file.seek(n * BLOCK) >= 0 and file.read(BLOCK) != b"%04096d" % n]
    finally:
        raw.unlink()
