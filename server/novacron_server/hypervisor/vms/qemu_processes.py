"""Which QEMU processes of this machine run which VMs, and since when: a run that is the same one for sure.

libvirt tells no time at which a domain was started, and its numbers of runs begin again with 1 when the host is rebooted.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from novacron_core.errors import NovaCronError
from novacron_server.file_calls import FILE_CALLS

_PROC = "/proc"
_START_TIME = 19
"""The index of `starttime` among the fields of /proc/PID/stat after the command (proc(5): field 22)."""


async def read_processes() -> dict[str, str]:
    """UUID → the process of its QEMU: its number and start time, and the boot of this machine. A UUID that two processes
    have is left out. Empty if the processes cannot be read."""
    try:
        return await FILE_CALLS.call(_PROC, _read)
    except (NovaCronError, OSError):
        return {}


def _read() -> dict[str, str]:
    proc = Path(_PROC)
    boot = (proc / "sys/kernel/random/boot_id").read_text().strip()
    found: dict[str, list[str]] = {}
    for folder in proc.iterdir():
        if folder.name.isdecimal():
            with suppress(OSError, ValueError, IndexError):  # it has ended meanwhile, or is hidden from this account
                if uuid := _uuid((folder / "cmdline").read_bytes()):
                    stat = (folder / "stat").read_text(errors="replace")
                    started = int(stat.rpartition(")")[2].split()[_START_TIME])
                    found.setdefault(uuid, []).append(f"{boot}/{folder.name}/{started}")
    return {uuid: processes[0] for uuid, processes in found.items() if len(processes) == 1}


def _uuid(command_line: bytes) -> str:
    """The argument of `-uuid`, empty for a process that is no QEMU."""
    arguments = command_line.split(b"\0")
    if b"qemu" not in arguments[0] or b"-uuid" not in arguments:
        return ""
    return arguments[arguments.index(b"-uuid") + 1].decode(errors="replace").lower()
