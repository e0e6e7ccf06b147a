"""How a user has arranged the console of a profile: the theme, and the order and filter of each list. It is kept in a
private file, so that the next console opens as this one was left."""

from __future__ import annotations

import msgspec

from novacron_tui.servers.saved_session import SavedSessionFile
from novacron_tui.servers.user_file import UserFile


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


class ArrangementFile:
    """The file of one profile. Blocking."""

    def __init__(self, kept: SavedSessionFile) -> None:
        self._file = UserFile(kept, "arrangements", Arrangement)

    def read(self, user_id: str) -> Arrangement:
        """How this user left it."""
        return self._file.read().get(user_id, Arrangement())

    def write(self, user_id: str, arrangement: Arrangement) -> None:
        """Keep it for the next console of this user."""
        self._file.write(user_id, arrangement)
