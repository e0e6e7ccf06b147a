"""The way from one screen to another by its number. Light: the app knows it before the first paint."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from novacron_tui.screens.base import BaseScreen


def stacked_screen(name: str) -> type[BaseScreen] | None:
    """The screen of this name, if it is one that comes on top of what is open."""
    from novacron_tui.screens.global_actions import ACTIVITY, METRICS_SCREEN, STORAGE

    if name == STORAGE.name:
        from novacron_tui.screens.storage import StorageScreen

        return StorageScreen
    if name == METRICS_SCREEN.name:
        from novacron_tui.screens.metrics import MetricsScreen

        return MetricsScreen
    if name == ACTIVITY.name:
        from novacron_tui.screens.activity import ActivityScreen

        return ActivityScreen
    return None
