"""What a console keeps for each user of a profile between runs: a private file beside the saved session."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from novacron_tui.servers.profiles import private_folder, write_private
from novacron_tui.servers.saved_session import SavedSessionFile

T = TypeVar("T")
_MAX_BYTES = 64 * 1024
"""The console writes no larger file."""


class _Document(msgspec.Struct, Generic[T], frozen=True):
    """`server` is the identifier of the saved session: a profile may have got another address."""

    server: str
    users: dict[str, T] = {}


class UserFile(Generic[T]):
    """The values of one kind, one for each user. Blocking. What cannot be read or written is as if it had never been: it
    is worth no error."""

    def __init__(self, kept: SavedSessionFile, folder: str, kind: type[T]) -> None:
        self._server = kept.server
        self._path = kept.folder / folder / f"{kept.profile}.json"
        self._kind = kind

    def read(self) -> dict[str, T]:
        """The values of all users of this server, by user id."""
        try:
            with self._path.open("rb") as file:
                document = msgspec.json.decode(file.read(_MAX_BYTES), type=_Document[self._kind])  # type: ignore[name-defined]
        except (OSError, msgspec.DecodeError, RecursionError):
            return {}
        users: dict[str, T] = document.users if document.server == self._server else {}
        return users

    def write(self, user_id: str, value: T) -> None:
        """Keep a user's value; those of the others stay."""
        document = _Document(server=self._server, users={**self.read(), user_id: value})
        try:
            private_folder(self._path.parent.parent)
            private_folder(self._path.parent)
            write_private(self._path, msgspec.json.encode(document).decode())
        except OSError:
            return
