"""The last lines of QEMU's log of a VM, where its host is this machine. libvirt has no call that returns it.

libvirt's QEMU driver writes `NAME.log`: in /var/log/libvirt/qemu for the system's daemon, in libvirt/qemu/log of the
user's cache directory for a session's. Each run begins with a line `starting up`, QEMU's environment and its command
line, one argument a line. A VM's name may be anything that libvirt allows, and who can write to the directory may put
anything there.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence

from novacron_core.errors import NovaCronError
from novacron_server.file_calls import FILE_CALLS
from novacron_server.hypervisor.connection.uris import is_local
from novacron_server.hypervisor.vms.local_daemon import SYSTEM_LOGS, LocalDaemon, NoDaemon

MAX_LINES = 20
_MAX_BYTES = 64 << 10
_MAX_LINE = 500
_STARTS = re.compile(r"\d{4}-\d\d-\d\d \S+: starting up")


class NoLog(Exception):
    """The log cannot be read. The text is a sentence for administrators."""


async def read_qemu_log(uri: str, name: str) -> tuple[list[str], str]:
    """The last lines of the last run, oldest first, and a sentence that says why there are none, empty if there are."""
    if not is_local(uri):
        return [], "QEMU's log is on the host: the server can only read those of its own machine"
    try:
        lines = await FILE_CALLS.call(SYSTEM_LOGS, lambda: _read(uri, name))
    except NoLog as e:
        return [], str(e)
    except NovaCronError as e:
        return [], f"QEMU's log cannot be read: {e.detail}"
    except OSError as e:
        return [], f"QEMU's log cannot be read: {os.strerror(e.errno or 0)}"
    return lines, "" if lines else "QEMU wrote nothing to its log in the last run"


def _read(uri: str, name: str) -> list[str]:
    """Raises NoLog, OSError."""
    if "/" in name or "\0" in name:
        raise NoLog("a VM of this name has no log of its own")
    directory = os.open(_folder(uri), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        file = os.open(f"{name}.log".encode("utf-8", "surrogateescape"), flags, dir_fd=directory)
    finally:
        os.close(directory)
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise NoLog("QEMU's log is not a regular file")
        begin = max(0, found.st_size - _MAX_BYTES)
        text = os.pread(file, _MAX_BYTES, begin).decode(errors="replace")
    finally:
        os.close(file)
    lines = text.split("\n")
    return last_run(lines[1:] if begin else lines)


def last_run(lines: Sequence[str]) -> list[str]:
    """The last lines of the last run, without QEMU's environment and command line: these may hold secrets."""
    begin = max((at for at, line in enumerate(lines) if _STARTS.match(line)), default=-1) + 1
    own = list(lines[begin:])
    continued = [at for at, line in enumerate(own) if line.endswith(" \\")]
    if continued:
        own = own[_end_of_argument(own, continued[-1] + 1) :]
    return [line[:_MAX_LINE].rstrip() for line in own if line.strip()][-MAX_LINES:]


def _end_of_argument(lines: Sequence[str], at: int) -> int:
    """The index after the last argument, which begins at `at`: one in quotes may contain line feeds."""
    quotes = 0
    while at < len(lines):
        quotes += lines[at].replace("\\'", "").count("'")
        at += 1
        if quotes % 2 == 0:
            break
    return at


def _folder(uri: str) -> str:
    """The directory of the logs as this process sees it. Raises NoLog."""
    try:
        return LocalDaemon(uri).seen_logs
    except NoDaemon:
        raise NoLog("QEMU's log cannot be read: libvirt does not respond") from None
