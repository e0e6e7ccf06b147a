"""The data directory of a machine, shared by the console and the server it starts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec


class RunningServer(msgspec.Struct, frozen=True):
    """`server.json` in a data directory: the server that uses it."""

    url: str
    pid: int


def default_data_dir() -> Path:
    """`NOVACRON_DATA_DIR`; else /var/lib/novacron for root (QEMU's user must be able to enter it), or the user's
    own."""
    if path := os.environ.get("NOVACRON_DATA_DIR"):
        return Path(path)
    if os.geteuid() == 0:
        return Path("/var/lib/novacron")
    import platformdirs

    return platformdirs.user_data_path("novacron")


LOCK = "server.lock"
"""The running server has it open, with an exclusive flock(2)."""


def read_running_server(data_dir: Path) -> RunningServer | None:
    """The server that runs on this data directory; None when there is none.

    The lock says who runs, not the file: it survives a crash, and its process number may belong to another program
    then, perhaps another user's, who would get the next password at the port in the file.
    """
    try:
        running = msgspec.json.decode((data_dir / "server.json").read_bytes(), type=RunningServer)
        os.kill(running.pid, 0)
    except (OSError, msgspec.DecodeError):
        return None
    return running if _holds(running.pid, data_dir / LOCK) else None


def _holds(pid: int, lock: Path) -> bool:
    """Whether this process has the lock file open. Another user's processes cannot be asked: then it must at least be
    one of the user that the file belongs to."""
    process = Path("/proc", str(pid))
    try:
        wanted = lock.stat()
        if not process.exists():
            return not Path("/proc/self").exists()  # an operating system without /proc: the pid alone must do
        try:
            return any(os.path.samestat(found, wanted) for found in _open_files(process / "fd"))
        except PermissionError:
            return process.stat().st_uid == wanted.st_uid
    except OSError:
        return False


def _open_files(descriptors: Path) -> Iterator[os.stat_result]:
    for descriptor in descriptors.iterdir():
        try:
            yield descriptor.stat()
        except OSError:
            continue  # closed meanwhile, or not a file
