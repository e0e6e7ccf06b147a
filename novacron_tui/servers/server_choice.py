"""Which server the caller named, on the command line or in a variable."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ServerChoice:
    """What the caller said. `server_meant`: the URL was given as a flag, not found in a variable."""

    server: str = ""
    profile: str = ""
    token: str = ""
    data_dir: Path | None = None
    server_meant: bool = True
