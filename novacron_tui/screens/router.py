"""The way from one screen to another by its number. Light: the app knows it before the first paint."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from novacron_tui.screens.base import Board


def on_top(name: str) -> type[Board] | None:
    """The screen of this name, if it is one that comes on top of what is open."""
    from novacron_tui.screens.global_actions import ACTIVITY, METRICS_SCREEN, STORAGE

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
