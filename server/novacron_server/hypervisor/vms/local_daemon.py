"""Where libvirt's QEMU driver of this machine keeps its files: its daemon may be in a mount namespace of its own."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

SYSTEM_LOGS = "/var/log/libvirt/qemu"
_SYSTEM_SOCKETS = ("/run/libvirt/virtqemud-sock", "/run/libvirt/libvirt-sock")
_CONNECT_S = 0.5


class NoDaemon(Exception):
    """The daemon of a URI with a socket of its own does not respond, so where its files are is unknown."""


class LocalDaemon:
    """The daemon of a local URI. `pid` is 0 if none responds.

    `logs` is the directory of its logs as the daemon names it, which is how definitions name files in it; `seen_logs` as
    this process sees it. `configuration` is the directory of qemu.conf, `sockets` that of virtlogd's socket, as this
    process sees them.
    """

    def __init__(self, uri: str) -> None:
        """Connects to the daemon. Blocks up to a second. Raises NoDaemon."""
        parts = urlsplit(uri)
        self.is_session = parts.path == "/session"
        self.pid = 0
        root = ""
        if self.is_session:
            self.logs = f"{_of_user('XDG_CACHE_HOME', '.cache')}/libvirt/qemu/log"
            self.configuration = f"{_of_user('XDG_CONFIG_HOME', '.config')}/libvirt"
            runtime = os.environ.get("XDG_RUNTIME_DIR")
            self.sockets = f"{runtime}/libvirt" if runtime else f"{_of_user('XDG_CACHE_HOME', '.cache')}/libvirt"
            self.pid = listener([f"{self.sockets}/{name}" for name in ("virtqemud-sock", "libvirt-sock")])
        else:
            root = self._find(parse_qs(parts.query).get("socket", [""])[0])
            self.logs, self.configuration, self.sockets = SYSTEM_LOGS, f"{root}/etc/libvirt", f"{root}/run/libvirt"
        self.seen_logs = f"{root}{self.logs}"

    def _find(self, own_socket: str) -> str:
        """Find the process. Returns the prefix of its files, which is empty where they are those of this process."""
        self.pid = listener([own_socket] if own_socket else _SYSTEM_SOCKETS)
        try:
            elsewhere = (
                self.pid > 0 and Path(f"/proc/{self.pid}/ns/mnt").readlink() != Path("/proc/self/ns/mnt").readlink()
            )
        except OSError:  # another account's process
            elsewhere = bool(own_socket)
        if own_socket and not self.pid:
            raise NoDaemon
        # A daemon in a mount namespace of its own has its files where it sees their directories.
        return f"/proc/{self.pid}/root" if elsewhere else ""


def _of_user(variable: str, default: str) -> str:
    return os.environ.get(variable) or str(Path.home() / default)


def listener(sockets: Sequence[str]) -> int:
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
