"""The random keys that sign access tokens, in a 0600 file. After a rotation the previous key stays valid."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from novacron_core.errors import Internal
from novacron_server.database.private_files import read_private, write_private

MAX_AGE = timedelta(days=30)
LIVE = 2


class Key(msgspec.Struct, frozen=True):
    """`secret` is 256 random bits, as RFC 7518 section 3.2 requires for HS256."""

    kid: str
    secret: str
    created_at: datetime


class Keys:
    """`current` signs, and every live key verifies. Reading the file resets its mode to 0600."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._keys = self._read()
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
        fresh = Key(secrets.token_hex(8), secrets.token_urlsafe(32), datetime.now(UTC))
        self._keys = [fresh, *self._keys][:LIVE]
        write_private(self._file, json.dumps({"signing_keys": msgspec.to_builtins(self._keys)}))

    def _read(self) -> list[Key]:
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
