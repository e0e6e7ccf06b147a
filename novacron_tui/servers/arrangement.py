"""How a user has arranged the console of a profile: the theme, and the order and filter of each list. It is kept in a
private file beside the saved session, so that the next console opens as this one was left."""

from __future__ import annotations

import msgspec

from novacron_tui.servers.profiles import private_folder, write_private
from novacron_tui.servers.saved_session import SavedSessionFile

MAX_BYTES = 64 * 1024
"""A larger file was not written by the console."""


class ListLook(msgspec.Struct, frozen=True):
    """A list as it was left: the key of the column that it is sorted by, and its filter, both in words of the console
    that wrote them. Another version may know neither."""

    sort: str = ""
    descending: bool = False
    filter: str = ""


class Arrangement(msgspec.Struct, frozen=True):
    """`theme` is a full name, empty for the console's own choice; `lists` goes by the list's name."""

    theme: str = ""
    lists: dict[str, ListLook] = {}


class _Document(msgspec.Struct, frozen=True):
    """`server` is the identifier of the saved session: a profile may have got another address."""

    server: str
    users: dict[str, Arrangement] = {}


class ArrangementFile:
    """The file of one profile. Blocking. What cannot be read or written is as if it had never been: it costs an order and
    a filter only."""

    def __init__(self, kept: SavedSessionFile) -> None:
        self._server = kept.server
        self._path = kept.folder / "arrangements" / f"{kept.profile}.json"

    def read(self, user_id: str) -> Arrangement:
        """How this user left it."""
        return self._users().get(user_id, Arrangement())

    def write(self, user_id: str, arrangement: Arrangement) -> None:
        """Keep it for the next console of this user."""
        document = _Document(server=self._server, users={**self._users(), user_id: arrangement})
        try:
            private_folder(self._path.parent.parent)
            private_folder(self._path.parent)
            write_private(self._path, msgspec.json.encode(document).decode())
        except OSError:
            return

    def _users(self) -> dict[str, Arrangement]:
        try:
            with self._path.open("rb") as file:
                document = msgspec.json.decode(file.read(MAX_BYTES), type=_Document)
        except (OSError, msgspec.DecodeError, RecursionError):
            return {}
        return document.users if document.server == self._server else {}
