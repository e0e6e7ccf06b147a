"""The actions that every screen has, with their keys, and how a screen's actions become its keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual.binding import Binding, BindingType

from novacron_tui.actions import Action

HELP = Action[Any]("help", "?", "help", "This page.", needs_one=False, group="Everywhere")
QUIT = Action[Any]("quit", "q", "quit", "Leave the console.", needs_one=False, group="Everywhere")
PALETTE = Action[Any](
    "palette",
    "ctrl+p",
    "palette",
    "Find an action, a VM or a theme by name; : takes a command, like :host kvm-a or :quit.",
    needs_one=False,
    group="Everywhere",
)
REREAD = Action[Any](
    "re-read", "r", "re-read", "Read everything from the server again.", needs_one=False, group="Everywhere"
)
VMS = Action[Any]("vms", "1", "VMs", "The list of VMs.", needs_one=False, group="Everywhere", opens=True)
STORAGE = Action[Any](
    "storage",
    "4",
    "storage",
    "Tiers, pools and volumes: how full, what moves, and what can be done.",
    needs_one=False,
    group="Everywhere",
    opens=True,
)
METRICS_SCREEN = Action[Any](
    "metrics",
    "5",
    "metrics",
    "The fleet and its hosts over time, who uses most, and a cell for every VM.",
    needs_one=False,
    group="Everywhere",
    opens=True,
)
ACTIVITY = Action[Any](
    "activity",
    "7",
    "activity",
    "What is done, was done and why it failed, and what happened.",
    needs_one=False,
    group="Everywhere",
    opens=True,
)
SCREENS: tuple[Action[Any], ...] = (VMS, STORAGE, METRICS_SCREEN, ACTIVITY)
EVERYWHERE: tuple[Action[Any], ...] = (*SCREENS, REREAD, PALETTE, HELP, QUIT)


def bindings(actions: Sequence[Action[Any]]) -> list[BindingType]:
    """One Textual binding for each key. Never disabled: a refused key must answer, and Textual swallows a disabled one."""
    keys = dict.fromkeys(action.key for action in actions if action is not PALETTE)
    command = Binding(":", "command", show=False)
    return [command, *(Binding(key, f"press({key!r})", show=False) for key in keys)]
