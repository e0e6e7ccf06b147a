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


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """The error message, which must be exactly one line."""
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("novacron: ")
    return done.stderr
