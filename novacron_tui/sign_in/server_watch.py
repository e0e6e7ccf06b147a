"""Keeps a server running while a sign-in form is open, and opens it again when it has stopped.

A bundled server stops when it receives no request for a while. After a restart it listens on another port, which the
client then uses.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from novacron_core.api.health import LIVEZ
from novacron_core.errors import NovaCronError, ServerUnreachable
from novacron_tui.servers.server_ref import ServerRef
from novacron_tui.terminal.safe_text import one_line

if TYPE_CHECKING:  # the client imports httpx: not before the first paint
    from novacron_core.client import Client


class ServerWatch:
    """`say` shows a message with a tone; `moved` is called with the server after it was opened again."""

    def __init__(
        self,
        open_server: Callable[[], Awaitable[ServerRef]],
        client: Client,
        *,
        say: Callable[[str, str], None],
        moved: Callable[[ServerRef], None],
    ) -> None:
        self._open_server = open_server
        self._client = client
        self._show_status = say
        self._moved = moved
        self._lost = False
        self._checking = False

    async def check(self) -> None:
        """Check that the server responds, and open it again if not. Only one check at a time: opening a server takes
        longer than the interval."""
        if self._checking:
            return
        self._checking = True
        try:
            await self._check()
        finally:
            self._checking = False

    async def _check(self) -> None:
        if await self._is_alive():
            if self._lost:
                self._show_status("Server is responding again", "quiet")
            self._lost = False
            return
        self._lost = True
        self._show_status("Server not responding, reconnecting. Your input is kept", "warn")
        await self._reopen_server()

    async def _is_alive(self) -> bool:
        try:
            await self._client.call(LIVEZ)
        except ServerUnreachable:
            return False
        except NovaCronError:
            pass  # any answer means that it is running
        return True

    async def _reopen_server(self) -> None:
        try:
            server = await self._open_server()
        except (NovaCronError, OSError) as e:
            why = e.detail if isinstance(e, NovaCronError) else str(e)
            self._show_status(f"{one_line(why)}. Retrying automatically", "warn")
            return
        self._client.move(server.url)
        self._moved(server)
        if await self._is_alive():
            self._lost = False
            self._show_status("Server is responding again", "quiet")
        else:
            self._show_status("Server not responding. Retrying automatically", "warn")
