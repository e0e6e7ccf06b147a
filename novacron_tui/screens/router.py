"""Finds the class of a screen by name. Imports nothing heavy: the app needs this module before the first paint."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from novacron_tui.screens.base import BaseScreen


def stacked_screen(name: str) -> type[BaseScreen] | None:
    """The class of the screen with this name; None for the VM list, which is always at the bottom."""
    from novacron_tui.screens.global_actions import (
        ACCOUNT,
        ACTIVITY,
        AUDIT,
        METRICS_SCREEN,
        PEOPLE,
        PROBLEMS,
        STORAGE,
    )

    if name == STORAGE.name:
        from novacron_tui.screens.storage import StorageScreen

        return StorageScreen
    if name == METRICS_SCREEN.name:
        from novacron_tui.screens.metrics import MetricsScreen

        return MetricsScreen
    if name == ACTIVITY.name:
        from novacron_tui.screens.activity import ActivityScreen

        return ActivityScreen
    if name == AUDIT.name:
        from novacron_tui.screens.audit import AuditScreen

        return AuditScreen
    if name == PEOPLE.name:
        from novacron_tui.screens.people import PeopleScreen

        return PeopleScreen
    if name == ACCOUNT.name:
        from novacron_tui.screens.account import AccountScreen

        return AccountScreen
    if name == PROBLEMS.name:
        from novacron_tui.screens.problems import ProblemsScreen

        return ProblemsScreen
    return None
