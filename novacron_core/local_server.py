"""Where things are kept on a machine, the same for the console and the server it starts."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec


class RunningServer(msgspec.Struct, frozen=True):
    """`server.json` in a data directory: the server that runs on it."""

    url: str
    pid: int


def default_data_dir() -> Path:
    """As root /var/lib/novacron (QEMU's user must be able to enter it), else below the user's data directory."""
    if named := os.environ.get("NOVACRON_DATA_DIR"):
        return Path(named)
    if os.geteuid() == 0:
        return Path("/var/lib/novacron")
    import platformdirs

    return platformdirs.user_data_path("novacron")


def read_running_server(data_dir: Path) -> RunningServer | None:
    """The server that says it runs on this data directory; None when there is none, or its process is gone."""
    try:
        running = msgspec.json.decode((data_dir / "server.json").read_bytes(), type=RunningServer)
        os.kill(running.pid, 0)
    except (OSError, msgspec.DecodeError):
        return None
    return running
