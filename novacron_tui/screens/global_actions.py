"""The actions that every screen has, and the key bindings of a screen's actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual.binding import Binding, BindingType

from novacron_tui.actions import Action

HELP = Action[Any]("help", "?", "help", "Show this help.", needs_one=False, group="Everywhere")
QUIT = Action[Any]("quit", "q", "quit", "Leave the console.", needs_one=False, group="Everywhere")
PALETTE = Action[Any](
    "palette",
    "ctrl+p",
    "palette",
    "Find an action, VM or theme by name. : runs a command, like :host kvm-a or :quit.",
    needs_one=False,
    group="Everywhere",
)
REFRESH = Action[Any](
    "re-read", "r", "refresh", "Refresh everything from the server.", needs_one=False, group="Everywhere"
)
VMS = Action[Any]("vms", "1", "VMs", "Show the VM list.", needs_one=False, group="Everywhere", opens=True)
STORAGE = Action[Any](
    "storage",
    "4",
    "storage",
    "Tiers, pools and volumes: usage, moves and actions.",
    needs_one=False,
    group="Everywhere",
    opens=True,
)
METRICS_SCREEN = Action[Any](
    "metrics",
    "5",
    "metrics",
    "Usage of the fleet and its hosts over time, top VMs, and a heat map.",
    needs_one=False,
    group="Everywhere",
    opens=True,
)
ACTIVITY = Action[Any](
    "activity",
    "7",
    "activity",
    "Running and past operations, failures, events.",
    needs_one=False,
    group="Everywhere",
    opens=True,
)
SCREENS: tuple[Action[Any], ...] = (VMS, STORAGE, METRICS_SCREEN, ACTIVITY)
EVERYWHERE: tuple[Action[Any], ...] = (*SCREENS, REFRESH, PALETTE, HELP, QUIT)


def bindings(actions: Sequence[Action[Any]]) -> list[BindingType]:
    """One Textual binding per key. Never disabled: a refused key must show why, and Textual swallows disabled ones."""
    keys = dict.fromkeys(action.key for action in actions if action is not PALETTE)
    command = Binding(":", "command", show=False)
    return [command, *(Binding(key, f"press({key!r})", show=False) for key in keys)]
