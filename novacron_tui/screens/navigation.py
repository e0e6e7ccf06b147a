"""The message that asks the app to show another screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from novacron_tui.connection.store import VMKey


class Go(Message):
    """Asks the app to show a screen: `vms`, `storage`, `metrics`, `people`, `activity`, `account` or `problems`. `vm` puts the cursor on that VM; `only`
    is filter text."""

    def __init__(self, screen: str, vm: VMKey | None = None, only: str = "") -> None:
        super().__init__()
        self.screen = screen
        self.vm = vm
        self.only = only
