"""The logs of the serial ports of a host's VMs, as coroutines; available as `host.console_logs`."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from typing import Any, TypeVar

import libvirt
import msgspec

from novacron_core.errors import Conflict, NovaCronError
from novacron_server.file_calls import CHANGE_LIMIT_S, FILE_CALLS
from novacron_server.hypervisor.connection.calls import Calls
from novacron_server.hypervisor.connection.uris import is_local, is_simulated
from novacron_server.hypervisor.vms import serial_logs
from novacron_server.hypervisor.vms.domains import DomainReader
from novacron_server.hypervisor.vms.local_daemon import SYSTEM_LOGS, LocalDaemon, NoDaemon
from novacron_server.hypervisor.vms.log_manager import why_unlimited
from novacron_server.hypervisor.vms.serial_logs import NoSerialLog, SerialLog
from novacron_server.hypervisor.xml.serial import with_console

T = TypeVar("T")
ELSEWHERE = "the log would be on the host: the server can only read those of its own machine"
SIMULATED = "a simulated host has no serial ports"
_NO_ANSWER = "the log cannot be read: libvirt does not respond"
_DEFINITION = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE
"""With the passwords that it contains: what is defined again without them has lost them."""


class LogPlace(msgspec.Struct, frozen=True):
    """Where a new VM's log is to be on the host; if `path` is empty, `reason` says why it gets none."""

    path: str = ""
    reason: str = ""


class HostConsoleLogs(Calls[DomainReader]):
    """Logs are read and removed through the machine's file system, not through libvirt, which has no call for them: a
    pool on the log folder would show them to everybody who may list volumes."""

    @property
    def why_none(self) -> str:
        """Why this host can have no logs, empty if it can."""
        uri = self._supervisor.uri
        return SIMULATED if is_simulated(uri) else "" if is_local(uri) else ELSEWHERE

    async def place(self, uuid: str) -> LogPlace:
        """Where the log of this VM is to be. Raises nothing that is about the host."""
        if self.why_none:
            return LogPlace(reason=self.why_none)

        def find() -> LogPlace:
            daemon = LocalDaemon(self._supervisor.uri)
            reason = why_unlimited(daemon)
            return LogPlace(reason=reason) if reason else LogPlace(serial_logs.log_path(daemon, uuid))

        try:
            return await FILE_CALLS.call(SYSTEM_LOGS, find)
        except NoDaemon:
            return LogPlace(reason="libvirt does not respond")
        except (NovaCronError, OSError) as e:
            return LogPlace(reason=_why(e))

    async def read(self, path: str, uuid: str, names: Collection[str], work: Callable[[SerialLog], T]) -> T:
        """Call `work` in a thread with the log at this path of a definition. Raises NoSerialLog with the reason."""
        if self.why_none:
            raise NoSerialLog(self.why_none)

        def read() -> T:
            daemon = LocalDaemon(self._supervisor.uri)
            if refused := serial_logs.why_not_path(daemon, path, uuid, names):
                raise NoSerialLog(refused)
            with serial_logs.opened(daemon.seen_logs, path.rpartition("/")[2]) as log:
                return work(log)

        try:
            return await FILE_CALLS.call(SYSTEM_LOGS, read)
        except NoDaemon:
            raise NoSerialLog(_NO_ANSWER) from None
        except (NovaCronError, OSError) as e:
            raise NoSerialLog(f"the log cannot be read: {_why(e)}") from e

    async def end(self, path: str, uuid: str) -> tuple[int, int]:
        """The inode and the size of its newest file, (0, 0) if there is none. Raises NoSerialLog."""
        return await self.read(path, uuid, (), lambda log: log.place(log.size_bytes))

    async def remove(self, uuid: str) -> str:
        """Remove the log that a VM of ours with this UUID has. Returns why it is still there; empty if there is none."""
        if self.why_none:
            return ""  # none was ever made there
        try:
            await FILE_CALLS.call(
                SYSTEM_LOGS, lambda: serial_logs.remove_logs(self._supervisor.uri, uuid), limit_s=CHANGE_LIMIT_S
            )
        except (NovaCronError, OSError) as e:
            return _why(e)
        return ""

    async def set_up(self, uuid: str, path: str) -> None:
        """Add a serial port, a console and a log at `path` (empty: none) to the definition, each if it has none."""
        await self._change("set the VM's serial console up", _set_up, uuid, path)


def _set_up(connection: Any, uuid: str, path: str) -> None:
    domain = connection.lookupByUUIDString(uuid)
    if not domain.isPersistent():
        raise Conflict("the VM has no definition: it is transient")
    before = domain.XMLDesc(_DEFINITION)
    connection.defineXML(with_console(before, path))


def _why(error: NovaCronError | OSError) -> str:
    return error.detail if isinstance(error, NovaCronError) else os.strerror(error.errno or 0)
