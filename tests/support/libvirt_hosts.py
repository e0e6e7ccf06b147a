"""Hosts for tests that record their reports, and removal of test domains and pools."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import libvirt

from novacron_core.api.hosts import HostStatus
from novacron_core.api.vms import State
from novacron_core.errors import Conflict
from novacron_server.hypervisor import Hint, LibvirtHost, Timing
from novacron_server.hypervisor.connection.kvm import why_slow
from tests.support.fair_clock import fair_now


def own_pools(connection: libvirt.virConnect, data_dir: Path) -> list[libvirt.virStoragePool]:
    """The pools below this data directory."""
    return [pool for pool in connection.listAllStoragePools() if str(data_dir) in _definition(pool)]


QEMU = "qemu:///system"


_JOURNEY = "/var/tmp/novacron-journey-"


def make_journey_dir() -> Path:
    """A data directory that QEMU's user may enter, named after this process, so that its leftovers can be told."""
    path = Path(tempfile.mkdtemp(prefix=f"{_JOURNEY}{os.getpid()}-", dir="/var/tmp"))
    path.chmod(0o711)
    return path


def remove_leftovers(connection: libvirt.virConnect) -> None:
    """Remove the domains and pools of test runs that were killed: the next run would meet a VM of the name it creates."""
    things = [*connection.listAllDomains(), *connection.listAllStoragePools()]
    mentioned = {name for thing in things for name in re.findall(rf"{_JOURNEY}[\w-]+", _definition(thing))}
    for data_dir in map(Path, sorted(mentioned)):
        pid = data_dir.name.removeprefix(Path(_JOURNEY).name).partition("-")[0]
        if not (pid.isdecimal() and Path("/proc", pid).exists()):
            remove_domains(connection, data_dir)
            remove_pools(connection, data_dir)


def _definition(thing: libvirt.virDomain | libvirt.virStoragePool) -> str:
    """Its XML; empty when another test's process has just removed it."""
    try:
        return str(thing.XMLDesc())
    except libvirt.libvirtError:
        return ""


def remove_pools(connection: libvirt.virConnect, data_dir: Path) -> None:
    """Remove the pools below this data directory."""
    for pool in own_pools(connection, data_dir):
        with suppress(libvirt.libvirtError):  # not active, or removed by another test's process
            pool.destroy()
        with suppress(libvirt.libvirtError):
            pool.undefine()


def remove_domains(connection: libvirt.virConnect, data_dir: Path, deadline_s: float = 180) -> None:
    """Remove the domains whose files are below this data directory. Raises the last libvirtError at the deadline.

    A QEMU that is slow to die on a busy machine makes libvirt refuse the first `destroy`; the domain would stay behind,
    and its name would fail the next test.
    """
    deadline = fair_now() + deadline_s
    for domain in connection.listAllDomains():
        while not _removed(domain, data_dir, last=fair_now() > deadline):
            time.sleep(1)


def _removed(domain: libvirt.virDomain, data_dir: Path, *, last: bool) -> bool:
    try:
        if str(data_dir) in domain.XMLDesc():
            if domain.isActive():
                domain.destroy()
            domain.undefine()
    except libvirt.libvirtError as e:
        if e.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
            if last:
                raise
            return False
    return True


class WatchedHost:
    """A host that records its hints and statuses."""

    def __init__(self, uri: str, timing: Timing | None = None) -> None:
        self.hints: list[Hint] = []
        self.statuses: list[HostStatus] = []
        self._reported = asyncio.Event()
        self.host = LibvirtHost("h1", uri, on_hint=self._hint, on_status=self._status, timing=timing)

    def _hint(self, hint: Hint) -> None:
        self.hints.append(hint)
        self._reported.set()

    def _status(self, host: LibvirtHost) -> None:
        self.statuses.append(host.status)
        self._reported.set()

    async def until(self, condition: Callable[[], bool], deadline_s: float = 15) -> float:
        """Wait until `condition` is true after a report. Returns the seconds that took."""
        began = fair_now()
        while not condition():
            self._reported.clear()
            left = deadline_s - (fair_now() - began)
            assert left > 0, f"not within {deadline_s} s; now {self.host.status}: {self.host.detail}"
            with suppress(TimeoutError):
                await asyncio.wait_for(self._reported.wait(), left)
        return fair_now() - began

    async def until_status(self, status: HostStatus, deadline_s: float = 15) -> float:
        return await self.until(lambda: self.host.status is status, deadline_s)


MIB = 1024**2


QUICK = Timing(open_s=1.5, backoff_first_s=0.1, backoff_max_s=0.5)


def system_is_usable() -> bool:
    if why_slow() or os.geteuid() != 0:
        return False
    return subprocess.run(["virsh", "-c", QEMU, "version"], capture_output=True, timeout=30).returncode == 0


async def remove_domain(host: LibvirtHost, uuid: str) -> None:
    facts = await host.read_domain(uuid)
    if facts is not None and facts.state is not State.STOPPED:
        with suppress(Conflict):  # a libvirtd that has just come back may find it ended between two calls
            await host.power_off(uuid)
    await host.undefine(uuid)
