"""The commands of the `:` line: the actions of the screen by name, and commands that have no key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from novacron_core.values.texts import shared_beginning
from novacron_tui.actions import Action
from novacron_tui.screens.help import KeyRow
from novacron_tui.terminal.themes import THEMES


def short_theme_name(theme: str) -> str:
    """The short name of a theme."""
    return theme.removeprefix("novacron-")


ALIASES = {"q": "quit", "q!": "quit", "vm": "vms", "ops": "activity"}
"""Familiar names from vi and k9s."""
THEME, HOST, TENANT = "theme", "host", "tenant"
COMMAND_KEYS = (
    Action[Any](
        "run", "enter", "run it", "Run it.", needs_one=False, run=lambda screen, _: screen.command.run_typed(),
    ),
    Action[Any](
        "complete", "tab", "complete", "Complete it.", needs_one=False,
        run=lambda screen, _: screen.command.action_complete(),
    ),
    Action[Any](
        "close", "escape", "close", "Close the line.", needs_one=False,
        run=lambda screen, _: screen.command.action_close(),
    ),
)  # fmt: skip
"""The keys that work while a command is typed."""
_GROUP = "After :"
ROWS = (
    KeyRow(":", "NAME", "Run an action by name, like :storage or :re-read; tab completes it.", _GROUP),
    KeyRow(":", "account", "Your sessions, API tokens, second factor and password.", _GROUP),
    KeyRow(":", "tenant NAME", "Work in another of your tenants; without a name, choose it.", _GROUP),
    KeyRow(":", "host NAME", "Show only the VMs of this host.", _GROUP),
    KeyRow(
        ":", "theme NAME", f"Change the theme: {', '.join(short_theme_name(theme.name) for theme in THEMES)}.", _GROUP
    ),
    KeyRow(":", "q", "Leave the console.", _GROUP),
)
"""The help of this line."""


def commands(actions: Iterable[Action[Any]], hosts: Iterable[str], tenants: Iterable[str]) -> list[str]:
    """All complete commands, for completion."""
    names = dict.fromkeys(action.name for action in actions)
    return [
        *names,
        *(f"{HOST} {host}" for host in hosts),
        *(f"{TENANT} {tenant}" for tenant in tenants),
        *(f"{THEME} {short_theme_name(theme.name)}" for theme in THEMES),
    ]


def action_named(word: str, actions: Sequence[Action[Any]]) -> Action[Any] | None:
    """The action with this name or alias. An abbreviation is not accepted: the next letter could select another
    action."""
    wanted = ALIASES.get(word.casefold(), word.casefold())
    return next((action for action in actions if action.name == wanted), None)


def unknown_command(word: str, actions: Sequence[Action[Any]]) -> str:
    """The sentence for an unknown command, with suggestions that start with the same letter."""
    first, _, more = word.partition(" ")
    if more and (action := action_named(first, actions)):
        return f"{action.name} takes no argument{': it acts on the row under the cursor' if action.needs_one else ''}"
    typed = word.casefold()
    near = list(dict.fromkeys(a.name for a in actions if word and a.name.startswith(typed[:1])))
    near.sort(key=lambda name: -len(shared_beginning(name, typed)))
    if not near:
        return f'Unknown command "{word}". Press tab to complete or ? for help'
    return f'Unknown command "{word}". Did you mean {_either(near)}?'


def _either(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
