"""The session saved between runs: one refresh token per profile, shared by all consoles and scripts of this user.

The lock is here; it is used in shared_credentials.py. Access tokens are never saved.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from novacron_core import errors
from novacron_tui.servers import keyring
from novacron_tui.servers.profiles import LOCAL, private_folder, try_lock, write_private

_LOCK_S = 30.0
_IN_KEYRING = "keyring"


class SavedSession(msgspec.Struct, frozen=True):
    """The saved data. `server` is the issuer of the token: it is never sent to another server."""

    server: str
    user_id: str
    username: str
    refresh_token: str


class SavedSessionFile:
    """The saved session of one profile. `server` is its URL or another unique identifier."""

    def __init__(self, profile: str, server: str, folder: Path | None = None) -> None:
        self.profile = profile
        self.server = server
        self.folder = folder or _state_dir()
        self._path = self.folder / f"{profile}.json"

    def read(self) -> SavedSession | None:
        """The saved session; None when there is none or it belongs to another server. Raises Conflict when there may be
        one that cannot be read now."""
        try:
            session = msgspec.json.decode(self._path.read_bytes(), type=SavedSession)
        except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError, RecursionError):
            return None
        except OSError as e:
            raise errors.Conflict(f"the saved session cannot be read: {self._path}: {e.strerror or e}") from e
        if session.server != self.server:
            return None
        if session.refresh_token != _IN_KEYRING:
            return session
        try:
            token = keyring.read(self._secret_name)
        except keyring.NoAnswer as e:
            raise errors.Conflict(
                f"the session of profile {self.profile} is in the desktop's keyring, which does not answer: unlock it "
                "and try again, or sign in anew"
            ) from e
        return msgspec.structs.replace(session, refresh_token=token) if token else None

    def write(self, session: SavedSession) -> None:
        """Save the token in the keyring where one works, else in the file, which only this user can read."""
        private_folder(self.folder)
        if keyring.write(self._secret_name, session.refresh_token):
            session = msgspec.structs.replace(session, refresh_token=_IN_KEYRING)
        write_private(self._path, msgspec.json.encode(session).decode())

    def forget(self) -> None:
        """Delete the saved session."""
        try:
            kept = self._path.read_bytes()
        except OSError:
            return
        self._path.unlink(missing_ok=True)
        if _IN_KEYRING.encode() in kept:
            keyring.forget(self._secret_name)

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Hold the lock of the profile. Raises Conflict when another process holds it for 30 s."""
        private_folder(self.folder)
        with (self.folder / f".{self.profile}.lock").open("a") as lock:
            deadline = time.monotonic() + _LOCK_S
            while not try_lock(lock):
                if time.monotonic() > deadline:
                    raise errors.Conflict(
                        f"another novacron process is using the session of profile {self.profile}; try again"
                    )
                await asyncio.sleep(0.02)
            yield

    @property
    def _secret_name(self) -> str:
        return f"{self.profile} {self.server}"


def saved_session_of_bundled(data_dir: Path) -> SavedSessionFile:
    """The saved session of the bundled server. It is identified by its data directory, because its port changes."""
    name = os.fsencode(data_dir.absolute()).decode(errors="backslashreplace")
    return SavedSessionFile(LOCAL, f"{LOCAL}:{name}")


def _state_dir() -> Path:
    import platformdirs

    return platformdirs.user_state_path("novacron") / "sessions"
