"""Cleans up after an earlier server of a cluster: a running postmaster, or a pid file that blocks the next start."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from novacron_core.errors import DatabaseUnavailable

STOPPING = ((signal.SIGINT, 10.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 2.0))
"""Fast shutdown, then immediate shutdown, then kill: each signal, and how long to wait in s. Source: pg_ctl(1)."""
_TICK_S = 0.01


async def end_stale_processes(cluster: Path) -> None:
    """End the processes still running in the cluster, and remove a pid file whose pid now belongs to another program.

    An orphan is stopped, not adopted: its parent's death sends it SIGINT, perhaps only after we have connected.
    Acknowledged commits are safe either way. The pid file of a dead process stays: PostgreSQL checks its shared memory
    before it replaces it. Raises DatabaseUnavailable when an orphan cannot be ended.
    """
    pid = postmaster_pid(cluster)
    if pid is None:
        _remove_if_idle(cluster)  # empty or nonsense after a power failure: PostgreSQL would refuse to start
        return
    if not _exists(pid):
        _resume_stopped(cluster)
        return
    if works_in(pid, cluster):
        await _end(pid, cluster)
    else:
        _remove_if_idle(cluster)


def _remove_if_idle(cluster: Path) -> None:
    """Remove the pid file unless a process works in the cluster. Our lock keeps other servers out."""
    if not any(works_in(other, cluster) for other in _all_pids()):
        (cluster / "postmaster.pid").unlink(missing_ok=True)


def postmaster_pid(cluster: Path) -> int | None:
    """The pid in `postmaster.pid`; None when there is no such file, or no number in it."""
    lines = _pid_file(cluster)
    first = lines[0].lstrip("-") if lines else ""
    return int(first) if first.isascii() and first.isdigit() and len(first) < 11 else None


def is_ready(cluster: Path, pid: int) -> bool:
    """Whether this postmaster accepts connections, according to line 8 of its pid file."""
    lines = _pid_file(cluster)
    return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"


def works_in(pid: int, cluster: Path) -> bool:
    """Whether the process belongs to the cluster: PostgreSQL's processes have it as their working directory. Another
    program there, like a shell, is none of them."""
    try:
        program = Path(f"/proc/{pid}/exe").readlink().name.removesuffix(" (deleted)")
        return program.startswith("postgres") and Path(f"/proc/{pid}/cwd").samefile(cluster)
    except OSError:
        return False


def _pid_file(cluster: Path) -> list[str]:
    try:
        return (cluster / "postmaster.pid").read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return []


def _exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _all_pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _resume_stopped(cluster: Path) -> None:
    """Send SIGCONT to the processes of a dead postmaster. They end on their own, but not while they are stopped, and
    until then their shared memory blocks the next start."""
    for pid in _all_pids():
        if works_in(pid, cluster):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


async def _end(pid: int, cluster: Path) -> None:
    for stop_signal, timeout_s in STOPPING:
        if not works_in(pid, cluster):
            return
        os.kill(pid, signal.SIGCONT)  # a stopped process would not handle the other signals
        os.kill(pid, stop_signal)
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            if not works_in(pid, cluster):
                return
            await asyncio.sleep(_TICK_S)
    if works_in(pid, cluster):
        raise DatabaseUnavailable(f"an old PostgreSQL (process {pid}) is still running in {cluster}. Kill it.")
