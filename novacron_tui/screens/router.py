"""Finds the class of a screen by name. Imports nothing heavy: the app needs this module before the first paint."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from novacron_tui.screens.base import BaseScreen


def action_elsewhere(name: str) -> str:
    """Where an action is that the present screen does not have, as a sentence; empty when no screen has it."""
    from novacron_tui.screens.commands import action_named
    from novacron_tui.screens.global_actions import ACCOUNT, AUDIT, PROBLEMS, SCREENS
    from novacron_tui.screens.vm_list import VMListScreen

    for screen in (*SCREENS, AUDIT, PROBLEMS, ACCOUNT):
        kind = stacked_screen(screen.name) or VMListScreen
        if (action := action_named(name, kind.ACTIONS)) is not None:
            return f"{action.name} works on the {screen.label} screen: {screen.key or f':{screen.name}'} goes there"
    return ""


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
