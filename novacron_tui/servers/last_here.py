"""When a user was last in a console of a profile: one time for each user, in a private file."""

from __future__ import annotations

from datetime import datetime

from novacron_tui.servers.saved_session import SavedSessionFile
from novacron_tui.servers.user_file import UserFile


class LastHere:
    """The file of one profile. Blocking. Without it one line is not said."""

    def __init__(self, kept: SavedSessionFile) -> None:
        self._file = UserFile(kept, "last-here", datetime)

    def read(self, user_id: str) -> datetime | None:
        """When this user was last here, by the server's clock. A time without its zone is none."""
        at = self._file.read().get(user_id)
        return at if at is not None and at.tzinfo is not None else None

    def write(self, user_id: str, now: datetime) -> None:
        """Note that this user is here now."""
        self._file.write(user_id, now)
