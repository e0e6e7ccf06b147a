"""The one-time token of the first account: anyone who can read a 0600 file on the server may create the administrator."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import time
from pathlib import Path

from novacron_server.access.tokens import fingerprint, opaque
from novacron_server.database.private_files import write_private

LIFETIME_S = 15 * 60


class SetupToken:
    """The file `setup-token` in the data directory. It exists only until the first account is created."""

    def __init__(self, data_dir: Path, lifetime_s: float = LIFETIME_S) -> None:
        self._file = data_dir / "setup-token"
        self._lifetime_s = lifetime_s
        self._hash: bytes | None = None
        self._until = 0.0

    async def renew(self) -> None:
        """Write a new token; the old one becomes invalid."""
        token = opaque()
        self._hash, self._until = fingerprint(token), time.monotonic() + self._lifetime_s
        await asyncio.to_thread(write_private, self._file, token + "\n")

    async def renew_if_old(self) -> None:
        if self._hash is None or time.monotonic() > self._until:
            await self.renew()

    def matches(self, token: str | None) -> bool:
        """Whether this is the current token and has not expired. The comparison takes constant time."""
        current = self._hash if time.monotonic() <= self._until else None
        return hmac.compare_digest(fingerprint((token or "").strip()), current or bytes(32)) and current is not None

    def end(self) -> None:
        """Invalidate the token and delete its file, because there is an account now."""
        self._hash = None
        with contextlib.suppress(FileNotFoundError):
            self._file.unlink()
