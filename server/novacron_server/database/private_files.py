"""Small files that contain secrets: mode 0600 from their first byte, and never half written after a crash."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from novacron_core.local_server import make_private


def write_private(file: Path, text: str) -> None:
    """Write a 0600 file atomically: a crash leaves either the old content or the new one."""
    fresh = file.with_name(f".{file.name}-{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    fresh.rename(file)
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_private(file: Path) -> bytes:
    """The content of a file that only its owner may read from now on."""
    with file.open("rb") as opened:
        make_private(opened.fileno())
        return opened.read()


def read_or_create_secret(file: Path) -> str:
    """The random text of a 0600 file, created once. An empty file counts as missing."""
    if file.exists() and (secret := read_private(file).decode().strip()):
        return secret
    secret = secrets.token_urlsafe(32)
    write_private(file, secret)
    return secret
