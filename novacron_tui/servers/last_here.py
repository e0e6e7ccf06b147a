"""When a user was last in a console of a profile: a private file beside the saved session, one time for each user."""

from __future__ import annotations

from datetime import datetime

import msgspec

from novacron_tui.servers.profiles import private_folder, write_private
from novacron_tui.servers.saved_session import SavedSessionFile


class _Document(msgspec.Struct, frozen=True):
    """`server` is the identifier of the saved session: a profile may have got another address."""

    server: str
    users: dict[str, datetime] = {}


class LastHere:
    """The file of one profile. Blocking. What cannot be read or written is as if it had never been: it only costs a
    line."""

    def __init__(self, kept: SavedSessionFile) -> None:
        self._server = kept.server
        self._path = kept.folder / "last-here" / f"{kept.profile}.json"

    def read(self, user_id: str) -> datetime | None:
        """When this user was last here, by the server's clock."""
        return self._users().get(user_id)

    def write(self, user_id: str, now: datetime) -> None:
        """Note that this user is here now."""
        document = _Document(server=self._server, users={**self._users(), user_id: now})
        try:
            private_folder(self._path.parent.parent)
            private_folder(self._path.parent)
            write_private(self._path, msgspec.json.encode(document).decode())
        except OSError:
            return

    def _users(self) -> dict[str, datetime]:
        try:
            document = msgspec.json.decode(self._path.read_bytes(), type=_Document)
        except (OSError, msgspec.DecodeError, RecursionError):
            return {}
        users = document.users if document.server == self._server else {}
        return {user: at for user, at in users.items() if at.tzinfo is not None}
