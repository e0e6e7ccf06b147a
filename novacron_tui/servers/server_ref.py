"""A reference to a server: its address and what the sign-in screen shows and needs."""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from novacron_tui.servers.saved_session import SavedSessionFile


@dataclass(frozen=True, slots=True)
class OwnAccount:
    """The user name and password with which the console signs in by itself."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ServerRef:
    """A server to connect to.

    `profile` is its name on screen. `production` highlights it as a warning. `read_only` is the sentence that refuses
    changes there; empty when they are allowed. `setup_token()` reads the one-time token
    of a bundled server, or returns None. `user` is the last one who signed in. `certificate` is the fingerprint of the
    only accepted certificate, for a server with a self-signed one. `kept` is the saved session; `remember(user)` saves
    the profile. `verify(url)` raises ServerUnreachable unless the server still answers at its address. `account` is that
    of a server that nobody else uses: it is created if needed, and signed in without a form. `note` is said in the
    status line after signing in. `known`: `--profile` finds it by the name of its profile.
    """

    url: str
    profile: str = "local"
    production: bool = False
    read_only: str = ""
    setup_token: Callable[[], str | None] | None = None
    user: str = ""
    certificate: str = ""
    kept: SavedSessionFile | None = None
    remember: Callable[[str], None] | None = None
    account: OwnAccount | None = None
    note: str = ""
    verify: Callable[[str], Awaitable[None]] | None = None
    known: bool = True

    @property
    def flag(self) -> str:
        """What makes a `novacron` command go to this server: without it, it goes to the current profile."""
        return f"--profile {shlex.quote(self.profile)}" if self.known else f"--server {shlex.quote(self.url)}"


def at(server: ServerRef) -> Callable[[], Awaitable[ServerRef]]:
    """An opener for a server that is already running."""

    async def open_server() -> ServerRef:
        return server

    return open_server
