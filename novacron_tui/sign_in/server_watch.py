"""Keeps a server awake while somebody stands before its doors, and opens its place again when it is gone.

A bundled server stops by itself when nobody has asked it anything for a while; one that thinks about a password must
not lose it. Opened again it listens on another port, which the client follows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from novacron_core.api.health import LIVEZ
from novacron_core.errors import NovaCronError, ServerUnreachable
from novacron_tui.servers.server_ref import ServerRef
from novacron_tui.terminal.safe_text import clean, one_line

if TYPE_CHECKING:  # the client brings httpx: not before the first paint
    from novacron_core.client import Client


class ServerWatch:
    """`say` shows a sentence and its tone, `moved` is told of the place once it was opened again."""

    def __init__(
        self,
        open_place: Callable[[], Awaitable[ServerRef]],
        client: Client,
        *,
        say: Callable[[str, str], None],
        moved: Callable[[ServerRef], None],
    ) -> None:
        self._open_place = open_place
        self._client = client
        self._say = say
        self._moved = moved
        self._lost = False
        self._looking = False

    async def look(self) -> None:
        """Ask whether the server is there, and do something about it when it is not. One look at a time: opening a
        place takes longer than the time between two."""
        if self._looking:
            return
        self._looking = True
        try:
            await self._look()
        finally:
            self._looking = False

    async def _look(self) -> None:
        if await self._answers():
            if self._lost:
                self._say("the server answers again", "quiet")
            self._lost = False
            return
        self._lost = True
        self._say("the server does not answer: opening it again, what you typed stays…", "warn")
        await self._open_again()

    async def _answers(self) -> bool:
        try:
            await self._client.call(LIVEZ)
        except ServerUnreachable:
            return False
        except NovaCronError:
            pass  # whatever it says, it is there
        return True

    async def _open_again(self) -> None:
        try:
            place = await self._open_place()
        except (NovaCronError, OSError) as e:
            why = e.detail if isinstance(e, NovaCronError) else str(e)
            self._say(f"{one_line(clean(why))}: trying again by itself", "warn")
            return
        self._client.move(place.url)
        self._moved(place)
        if await self._answers():
            self._lost = False
            self._say("the server answers again", "quiet")
        else:
            self._say("the server does not answer: trying again by itself", "warn")
