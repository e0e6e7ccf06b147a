"""Hosts to test on: a libvirtd of one's own that may be stopped and killed, and hosts that remember what they told."""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import libvirt
import pytest

from novacron_core.api.hosts import HostStatus
from novacron_server.hypervisor import Hint, LibvirtHost, Timing
from tests.fair_clock import fair_now

_SCRIPT = Path(__file__).parent / "private_libvirtd.sh"
_KNOWN = Path(__file__).parents[3] / ".tools/qemu-capabilities"
"""What a private libvirtd found out about this machine's QEMU, for the next one: asking takes 7 s, and libvirt itself
looks whether it still holds. It holds for one core where cores differ (an APIC id is enough), so all start on the same."""


class PrivateLibvirtd:
    """A libvirtd in namespaces of its own. Ends with the test; so must its guests, before."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.uri = f"qemu+unix:///system?socket={folder}/run/libvirt-sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        known = self.folder / "cache/qemu/capabilities"
        known.mkdir(parents=True, exist_ok=True)
        for path in _KNOWN.glob("*.xml"):
            shutil.copy2(path, known)
        with (self.folder / "out").open("ab") as out:
            self._process = subprocess.Popen(
                ["bash", str(_SCRIPT), str(self.folder), self.name],
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                preexec_fn=_in_the_child,
            )
        end = fair_now() + 20
        while not _answers(self.folder / "run/libvirt-sock"):
            if self._process.poll() is not None or fair_now() > end:
                pytest.fail(f"libvirtd did not start: {(self.folder / 'out').read_text()[-1000:]}")
            time.sleep(0.02)
        libvirt.open(self.uri).close()  # it has looked at its CPU by then
        for thread in Path(f"/proc/{self._process.pid}/task").iterdir():
            with suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread.name), os.sched_getaffinity(0))

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
            self._keep_known()
        for pidfile in self.folder.glob("run/qemu/*.pid"):  # guests that a failed test left
            with suppress(ProcessLookupError, ValueError):
                os.kill(int(pidfile.read_text()), signal.SIGKILL)

    def _keep_known(self) -> None:
        _KNOWN.mkdir(parents=True, exist_ok=True)
        for path in self.folder.glob("cache/qemu/capabilities/*.xml"):
            new = _KNOWN / f"{path.name}.{os.getpid()}"
            shutil.copy2(path, new)
            new.replace(_KNOWN / path.name)


def _in_the_child() -> None:
    """So that a crashed test run leaves no daemon behind, and that all of them see the same core."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


@pytest.fixture
def work_folder() -> Iterator[Path]:
    """A short path that QEMU may enter; pytest's own is 0700 and too long for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="nvt-", dir="/var/tmp"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def libvirtd_named(work_folder: Path) -> Iterator[Callable[[str], PrivateLibvirtd]]:
    """Makes running private libvirtds, by name."""
    if os.geteuid() != 0 or not Path("/usr/sbin/libvirtd").exists() or not shutil.which("unshare"):
        pytest.skip("a libvirtd of one's own needs root, libvirtd and unshare")
    made: list[PrivateLibvirtd] = []

    def make(name: str) -> PrivateLibvirtd:
        (work_folder / name).mkdir()
        daemon = PrivateLibvirtd(work_folder / name, name)
        made.append(daemon)
        daemon.start()
        return daemon

    yield make
    for daemon in made:
        daemon.stop()


@pytest.fixture
def libvirtd(libvirtd_named: Callable[[str], PrivateLibvirtd]) -> PrivateLibvirtd:
    return libvirtd_named("one")


class Watched:
    """A host with what it told."""

    def __init__(self, uri: str, timing: Timing | None = None) -> None:
        self.hints: list[Hint] = []
        self.statuses: list[HostStatus] = []
        self._told = asyncio.Event()
        self.host = LibvirtHost("h1", uri, on_hint=self._hint, on_status=self._status, timing=timing)

    def _hint(self, hint: Hint) -> None:
        self.hints.append(hint)
        self._told.set()

    def _status(self, host: LibvirtHost) -> None:
        self.statuses.append(host.status)
        self._told.set()

    async def until(self, condition: Callable[[], bool], deadline_s: float = 15) -> float:
        """Waits until what was told makes `condition` true; returns the seconds that took."""
        began = fair_now()
        while not condition():
            self._told.clear()
            left = deadline_s - (fair_now() - began)
            assert left > 0, f"not within {deadline_s} s; now {self.host.status}: {self.host.detail}"
            with suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), left)
        return fair_now() - began

    async def until_status(self, status: HostStatus, deadline_s: float = 15) -> float:
        return await self.until(lambda: self.host.status is status, deadline_s)


@pytest.fixture
async def watch() -> AsyncIterator[Callable[..., Watched]]:
    """Makes hosts that are closed at the end."""
    made: list[Watched] = []

    def make(uri: str, timing: Timing | None = None) -> Watched:
        made.append(Watched(uri, timing))
        return made[-1]

    yield make
    for watched in made:
        await watched.host.close()
