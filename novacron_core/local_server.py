"""The data directory of a machine, shared by the console and the server it starts."""

from __future__ import annotations

import os
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


def read_running_server(data_dir: Path) -> RunningServer | None:
    """The server that is registered in this data directory; None when there is none or its process has ended."""
    try:
        running = msgspec.json.decode((data_dir / "server.json").read_bytes(), type=RunningServer)
        os.kill(running.pid, 0)
    except (OSError, msgspec.DecodeError):
        return None
    return running
