"""The server chosen on the command line or in environment variables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

READ_ONLY = "read-only: this console was started with --read-only"
"""What refuses changes then."""


@dataclass(frozen=True, slots=True)
class ServerChoice:
    """The chosen server. `server_meant`: the URL was given as a flag, not in an environment variable. `read_only`:
    the console must change nothing."""

    server: str = ""
    profile: str = ""
    token: str = ""
    data_dir: Path | None = None
    server_meant: bool = True
    read_only: bool = False
