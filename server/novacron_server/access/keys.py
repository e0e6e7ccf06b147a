"""The random keys that sign access tokens, in a 0600 file. After a rotation the previous key stays valid."""

from __future__ import annotations

import fcntl
import json
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from novacron_core.errors import Internal
from novacron_server.database.private_files import read_private, write_private
from novacron_server.lock_file import open_lock

MAX_AGE = timedelta(days=30)
LIVE = 2


class Key(msgspec.Struct, frozen=True):
    """`secret` is 256 random bits, as RFC 7518 section 3.2 requires for HS256."""

    kid: str
    secret: str
    created_at: datetime


class Keys:
    """`current` signs, and every live key verifies. Reading the file resets its mode to 0600."""

    def __init__(self, file: Path, *, by_age: bool = True) -> None:
        """`by_age`: rotate at once when the current key is old or there is none."""
        self._file = file
        self._seen: tuple[int, int] | None = None
        self._keys = self._read()
        if by_age:
            self.rotate_if_old()

    @property
    def current(self) -> Key:
        return self._keys[0]

    @property
    def secrets(self) -> list[str]:
        """The secrets of the live keys, the current one first."""
        return [key.secret for key in self._keys]

    def secret(self, kid: str) -> str | None:
        """The secret of a live key, None for any other key id."""
        return next((key.secret for key in self._keys if key.kid == kid), None)

    def rotate_if_old(self) -> None:
        """Rotate when there is no key or the current one is older than MAX_AGE. May write the file."""
        if not self._keys or datetime.now(UTC) - self.current.created_at > MAX_AGE:
            self.rotate()

    def rotate(self) -> None:
        """Sign with a new key from now on. The previous key stays valid, older ones do not. Writes the file."""
        with open_lock(self._file.with_name(f"{self._file.name}.lock")) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # a command may rotate them while the server does
            fresh = Key(secrets.token_hex(8), secrets.token_urlsafe(32), datetime.now(UTC))
            keys = [fresh, *(self._read() or self._keys)][:LIVE]
            write_private(self._file, json.dumps({"signing_keys": msgspec.to_builtins(keys)}))
            self._keys = self._read()

    def reload_if_rotated(self) -> None:
        """Use the keys that `novacron rotate-keys` has written meanwhile. Raises OSError, Internal."""
        if self._stamp() != self._seen:
            self._keys = self._read() or self._keys

    def _stamp(self) -> tuple[int, int] | None:
        """What changes with every writing of the file; None without a file."""
        try:
            status = self._file.stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns

    def _read(self) -> list[Key]:
        self._seen = self._stamp()
        try:
            text = read_private(self._file)
        except FileNotFoundError:
            return []
        try:
            return msgspec.convert(msgspec.json.decode(text)["signing_keys"], list[Key])
        except (msgspec.MsgspecError, KeyError, TypeError):
            raise Internal(
                f"{self._file} is corrupt. Delete it to create new keys; this signs out all users."
            ) from None
