"""Whether virtlogd limits what QEMU logs on this machine. Without it a guest could fill the host's disk.

libvirt has no call that tells. Its QEMU driver asks virtlogd unless `stdio_handler` in qemu.conf says `file`, and reads
that file only when it starts. The system's driver starts no guest if virtlogd does not respond; a session's starts it.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path

from novacron_server.hypervisor.vms.local_daemon import LocalDaemon, listener

_SETTING = re.compile(r'^\s*stdio_handler\s*=\s*"([^"]*)"', re.MULTILINE)
_MAX_BYTES = 1 << 20
_STARTS_WITHIN_S = 5.0
"""A script that writes qemu.conf may have become the daemon: its start is the script's."""
_PATH = ":/usr/sbin:/sbin"


def why_unlimited(daemon: LocalDaemon) -> str:
    """Why nothing limits what a guest logs, as a sentence for administrators; empty if virtlogd does. Blocks."""
    file = Path(daemon.configuration, "qemu.conf")
    try:
        with file.open(errors="replace") as opened:
            text, changed = opened.read(_MAX_BYTES), os.fstat(opened.fileno()).st_mtime
    except FileNotFoundError:
        text, changed = "", 0.0
    except OSError as e:
        return f"qemu.conf of libvirt cannot be read ({os.strerror(e.errno or 0)}), so it is unknown whether logs are limited"
    handler = found[-1] if (found := _SETTING.findall(text)) else "logd"
    if handler != "logd":
        return f'qemu.conf of libvirt says stdio_handler = "{handler}": a guest could fill the disk with its log'
    if found and daemon.pid and changed > _started_at(daemon.pid) + _STARTS_WITHIN_S:
        return "qemu.conf was changed after libvirt had started: restart libvirt, so that it is known whether logs are limited"
    if daemon.is_session and shutil.which("virtlogd", path=os.environ.get("PATH", "") + _PATH):
        return ""  # libvirt starts it when it is needed
    if not listener([f"{daemon.sockets}/virtlogd-sock"]):
        return "virtlogd, which limits logs, does not respond: install and start it"
    return ""


def _started_at(pid: int) -> float:
    """When a process was started, in seconds since 1970; proc_pid_stat(5). 0 if it is gone."""
    try:
        ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
        up_s = float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, IndexError, ValueError):
        return 0.0
    return time.time() - (up_s - ticks / os.sysconf("SC_CLK_TCK"))
