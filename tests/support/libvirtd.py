"""A private libvirtd that a test may stop and kill."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import libvirt
import pytest

from tests.support.fair_clock import fair_now

_SCRIPT = Path(__file__).parent / "private_libvirtd.sh"


_CAPABILITIES_CACHE = Path(__file__).parents[2] / ".tools/qemu-capabilities"
"""A private libvirtd's cache of QEMU's capabilities, kept for the next one: probing takes 7 s, and libvirt itself
checks whether the cache is valid. It is valid for one core if cores differ (an APIC id is enough), so all use the
same."""


class PrivateLibvirtd:
    """A libvirtd in its own namespaces, and its virtlogd. Both end with the test, and its guests must end before them."""

    def __init__(self, folder: Path, name: str, *, virtlogd: bool = True) -> None:
        """`virtlogd=False`: QEMU writes its logs itself."""
        self.folder, self.name = folder, name
        self._uses_virtlogd = virtlogd
        self._virtlogd: subprocess.Popen[bytes] | None = None
        self.uri = f"qemu+unix:///system?socket={folder}/run/libvirt-sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        known = self.folder / "cache/qemu/capabilities"
        known.mkdir(parents=True, exist_ok=True)
        for path in _CAPABILITIES_CACHE.glob("*.xml"):
            shutil.copy2(path, known)
        if self._uses_virtlogd and self._virtlogd is None:
            self._virtlogd = self._spawn("virtlogd")
        self._process = self._spawn("logd" if self._uses_virtlogd else "file")
        if self._virtlogd is not None:
            self._wait_for(self._virtlogd, "virtlogd-sock")
        self._wait_for(self._process, "libvirt-sock")
        libvirt.open(self.uri).close()  # it has probed its CPU by then
        for thread in Path(f"/proc/{self._process.pid}/task").iterdir():
            with suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread.name), os.sched_getaffinity(0))

    def _spawn(self, handler: str) -> subprocess.Popen[bytes]:
        with (self.folder / "out").open("ab") as out:
            return subprocess.Popen(
                ["bash", str(_SCRIPT), str(self.folder), self.name, handler],
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                preexec_fn=_set_up_child,
            )

    def _wait_for(self, process: subprocess.Popen[bytes], socket_name: str) -> None:
        end = fair_now() + 20
        while not _responds(self.folder / "run" / socket_name):
            if process.poll() is not None or fair_now() > end:
                pytest.fail(f"libvirtd did not start: {(self.folder / 'out').read_text()[-1000:]}")
            time.sleep(0.02)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.wait()

    def wait(self) -> None:
        assert self._process is not None
        self._process.wait(20)
        self._process = None

    def stop(self) -> None:
        if self._process is not None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            self.wait()
            self._save_capabilities()
        for pidfile in self.folder.glob("run/qemu/*.pid"):  # guests of a failed test
            with suppress(ProcessLookupError, ValueError):
                os.kill(int(pidfile.read_text()), signal.SIGKILL)
        if self._virtlogd is not None:
            self._virtlogd.kill()
            self._virtlogd.wait(20)
            self._virtlogd = None

    def _save_capabilities(self) -> None:
        _CAPABILITIES_CACHE.mkdir(parents=True, exist_ok=True)
        for path in self.folder.glob("cache/qemu/capabilities/*.xml"):
            new = _CAPABILITIES_CACHE / f"{path.name}.{os.getpid()}"
            shutil.copy2(path, new)
            new.replace(_CAPABILITIES_CACHE / path.name)


def _set_up_child() -> None:
    """Make the daemon end with the test run, and run all daemons on the same core."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def _responds(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def require_private_libvirtd() -> None:
    """Skip the test if a private libvirtd cannot be started."""
    if os.geteuid() != 0 or not Path("/usr/sbin/libvirtd").exists() or not shutil.which("unshare"):
        pytest.skip("a private libvirtd needs root, libvirtd and unshare")
