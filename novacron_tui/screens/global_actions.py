"""The actions that every screen has, and the key bindings of a screen's actions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from textual.binding import Binding, BindingType

from novacron_core.api import access, audit
from novacron_tui.account import perform as account
from novacron_tui.actions import Action, Danger
from novacron_tui.screens.navigation import Go

_GROUP = "Everywhere"
HELP = Action[Any](
    "help", "?", "help", "Show this help.", needs_one=False, group=_GROUP, run=lambda screen, _: screen.show_help()
)
QUIT = Action[Any](
    "quit",
    "q",
    "quit",
    "Leave the console.",
    needs_one=False,
    group=_GROUP,
    run=lambda screen, _: screen.app.action_quit(),
)
PALETTE = Action[Any](
    "palette", "ctrl+p", "palette", "Find an action, VM or theme by name. : runs a command, like :host kvm-a or :quit.",
    needs_one=False, group=_GROUP, run=lambda screen, _: screen.app.action_command_palette(),
)  # fmt: skip
REFRESH = Action[Any](
    "re-read", "r", "refresh", "Refresh everything from the server.", needs_one=False, group=_GROUP,
    run=lambda screen, _: screen.reload(),
)  # fmt: skip


def go_to(name: str) -> Callable[[Any, Any], None]:
    """What shows a screen, see `router.stacked_screen`."""

    def run(screen: Any, _subject: Any) -> None:
        screen.app.post_message(Go(name))

    return run


def _screen(name: str, key: str, label: str, help: str) -> Action[Any]:
    return Action(name, key, label, help, needs_one=False, group=_GROUP, opens=True, run=go_to(name))


VMS = _screen("vms", "1", "VMs", "Show the VM list.")
STORAGE = _screen("storage", "4", "storage", "Tiers, pools and volumes: usage, moves and actions.")
METRICS_SCREEN = _screen(
    "metrics", "5", "metrics", "Usage of the fleet and its hosts over time, top VMs, and a heat map."
)
PEOPLE = _screen("people", "6", "people", "Who may do what: accounts, roles, invitations and quotas.")
ACTIVITY = _screen("activity", "7", "activity", "Running and past operations, failures, events.")
PROBLEMS = _screen("problems", "!", "problems", "What is wrong now, worst first, each with its next step.")
ACCOUNT = _screen("account", "", "account", "Your sessions, API tokens, second factor and password.")
TENANT = Action[Any](
    "tenant", "", "switch tenant", "Work in another of your tenants.", access.SWITCH_TENANT, danger=Danger.REVERSIBLE,
    needs_one=False, group=_GROUP, opens=True, run=account.choose_tenant, command="tenant switch TENANT",
)  # fmt: skip
AUDIT = Action[Any](
    "audit", "", "audit", "Who did what, from where, with what result.", audit.LIST, needs_one=False, group=_GROUP,
    opens=True, run=go_to("audit"),
)  # fmt: skip
"""Reached by its name, and by tab from the activity."""
SCREENS: tuple[Action[Any], ...] = (VMS, STORAGE, METRICS_SCREEN, PEOPLE, ACTIVITY)
COMING_SCREENS = {"2": "hosts", "3": "networks"}
"""The numbers that are kept for screens which this version does not have."""
EVERYWHERE: tuple[Action[Any], ...] = (*SCREENS, AUDIT, PROBLEMS, ACCOUNT, TENANT, REFRESH, PALETTE, HELP, QUIT)


def bindings(actions: Sequence[Action[Any]]) -> list[BindingType]:
    """One Textual binding per key. Never disabled: a refused key must show why, and Textual swallows disabled ones."""
    keys = dict.fromkeys(action.key for action in actions if action.key and action is not PALETTE)
    command = Binding(":", "command", show=False)
    return [command, *(Binding(key, f"press({key!r})", show=False) for key in keys)]
