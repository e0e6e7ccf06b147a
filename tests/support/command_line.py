"""Types of the command line's fixtures."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass

Run = Callable[..., subprocess.CompletedProcess[str]]


@dataclass(frozen=True)
class Server:
    url: str
    token: str
