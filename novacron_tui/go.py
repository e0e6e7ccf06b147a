"""The way from one screen to another by its number. Light: the app knows it before the first paint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from novacron_tui.screens.frame import Board
    from novacron_tui.store import VMKey


class Go(Message):
    """To the app: show this screen, `vms`, `storage`, `metrics` or `activity`; `vm`: with the cursor on this VM; `only`: filtered so."""

    def __init__(self, screen: str, vm: VMKey | None = None, only: str = "") -> None:
        super().__init__()
        self.screen = screen
        self.vm = vm
        self.only = only


def on_top(name: str) -> type[Board] | None:
    """The screen of this name, if it is one that comes on top of what is open."""
    from novacron_tui.screens.everywhere import ACTIVITY, METRICS_SCREEN, STORAGE

    if name == STORAGE.name:
        from novacron_tui.screens.storage import Storage

        return Storage
    if name == METRICS_SCREEN.name:
        from novacron_tui.screens.metrics import Metrics

        return Metrics
    if name == ACTIVITY.name:
        from novacron_tui.screens.activity import Activity

        return Activity
    return None
