"""The last lines of QEMU's log of a VM, where its host is this machine. libvirt has no call that returns it.

libvirt's QEMU driver writes `NAME.log`: in /var/log/libvirt/qemu for the system's daemon, in libvirt/qemu/log of the
user's cache directory for a session's. Each run begins with a line `starting up`, QEMU's environment and its command
line, one argument a line. A VM's name may be anything that libvirt allows, and who can write to the directory may put
anything there.
"""

from __future__ import annotations

import os
import re
import socket
import stat
import struct
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from novacron_core.errors import NovaCronError
from novacron_server.file_calls import FILE_CALLS
from novacron_server.hypervisor.connection.uris import is_local

MAX_LINES = 20
_MAX_BYTES = 64 << 10
_MAX_LINE = 500
_SYSTEM_FOLDER = "/var/log/libvirt/qemu"
_SYSTEM_SOCKETS = ("/run/libvirt/virtqemud-sock", "/run/libvirt/libvirt-sock")
_CONNECT_S = 0.5
_STARTS = re.compile(r"\d{4}-\d\d-\d\d \S+: starting up")


class NoLog(Exception):
    """The log cannot be read. The text is a sentence for administrators."""


async def read_qemu_log(uri: str, name: str) -> tuple[list[str], str]:
    """The last lines of the last run, oldest first, and a sentence that says why there are none, empty if there are."""
    if not is_local(uri):
        return [], "QEMU's log is on the host: the server can only read those of its own machine"
    try:
        lines = await FILE_CALLS.call(_SYSTEM_FOLDER, lambda: _read(uri, name))
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
    """The directory of the logs as the daemon of this URI names it. Raises NoLog."""
    parts = urlsplit(uri)
    if parts.path == "/session":
        cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        return f"{cache}/libvirt/qemu/log"
    own_socket = parse_qs(parts.query).get("socket", [""])[0]
    daemon = _daemon([own_socket] if own_socket else _SYSTEM_SOCKETS)
    try:
        elsewhere = daemon > 0 and Path(f"/proc/{daemon}/ns/mnt").readlink() != Path("/proc/self/ns/mnt").readlink()
    except OSError:  # another account's process
        elsewhere = bool(own_socket)
    if own_socket and not daemon:
        raise NoLog("QEMU's log cannot be read: libvirt does not respond")
    # A daemon in a mount namespace of its own has its log where it sees that directory.
    return f"/proc/{daemon}/root{_SYSTEM_FOLDER}" if elsewhere else _SYSTEM_FOLDER


def _daemon(sockets: Sequence[str]) -> int:
    """The process that listens on the first of these sockets that responds, 0 for none (unix(7), SO_PEERCRED)."""
    for path in sockets:
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(_CONNECT_S)
                probe.connect(path)
                credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        except OSError:
            continue
        return int(struct.unpack("3i", credentials)[0])
    return 0
