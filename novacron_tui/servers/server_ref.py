"""Where a console goes: the server's address, and what the operator should know about it before signing in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from novacron_tui.servers.saved_session import SavedSessionFile


@dataclass(frozen=True, slots=True)
class ServerRef:
    """A server to talk to.

    `profile` is its name on screen. `production` paints it as a warning. `setup_token()` reads the one-time token of
    a server that this console may look into (the bundled one), and answers None when there is none to read.
    `user` signed in last. `certificate` is the fingerprint of the only one that is accepted, where no authority vouches
    for it. `kept` is the session that stays between runs, `remember(user)` writes the profile down.
    """

    url: str
    profile: str = "local"
    production: bool = False
    setup_token: Callable[[], str | None] | None = None
    user: str = ""
    certificate: str = ""
    kept: SavedSessionFile | None = None
    remember: Callable[[str], None] | None = None


def at(place: ServerRef) -> Callable[[], Awaitable[ServerRef]]:
    """Opens a place that is there already: nothing to start."""

    async def open_place() -> ServerRef:
        return place

    return open_place
