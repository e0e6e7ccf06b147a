"""Where a console goes: the server's address, and what the operator should know about it before signing in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Place:
    """A server to talk to.

    `profile` is its name on screen. `production` paints it as a warning. `setup_token()` reads the one-time token of
    a server that this console may look into (the bundled one), and answers None when there is none to read.
    """

    url: str
    profile: str = "local"
    production: bool = False
    setup_token: Callable[[], str | None] | None = None


def named(url: str, profile: str = "", *, production: bool = False) -> Callable[[], Awaitable[Place]]:
    """Opens the place at a URL: there is nothing to start. Without a profile it is called by its host name."""
    place = Place(url.rstrip("/"), profile or urlsplit(url).hostname or url, production)

    async def open_place() -> Place:
        return place

    return open_place
