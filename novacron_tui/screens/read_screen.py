"""A list that is read from the server while it is in front, because it is not part of the event stream."""

from __future__ import annotations

from typing import Protocol

from textual import work

from novacron_tui.connection.session import Session
from novacron_tui.screens.list_screen import ListScreen

READ_EVERY_S = 5.0


class Data(Protocol):
    async def read(self, session: Session) -> None:
        """Read everything anew; what cannot be read stays as it was. Raises nothing."""


class ReadScreen(ListScreen):
    """A subclass sets `data`."""

    data: Data

    def on_mount(self) -> None:
        self.set_interval(READ_EVERY_S, self._read_if_seen)

    def on_screen_resume(self) -> None:
        self.read_again()

    def read_again(self) -> None:
        """Read from the server now."""
        if self.is_mounted:
            self._read()

    def _read_if_seen(self) -> None:
        if self._is_frontmost:
            self.read_again()

    @work(exclusive=True, group="read")
    async def _read(self) -> None:
        await self.data.read(self.session)
        self.refresh_body()
        self.refresh_frame()

    def reload(self) -> None:
        super().reload()
        self.read_again()
