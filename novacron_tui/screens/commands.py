"""What can be said on the `:` line: the actions of the screen by name, and what has no key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from novacron_tui.actions import Action
from novacron_tui.screens.help import KeyRow
from novacron_tui.terminal.themes import THEMES


def short(theme: str) -> str:
    """A theme's name as an operator says it."""
    return theme.removeprefix("novacron-")


ALIASES = {"q": "quit", "q!": "quit", "vm": "vms", "ops": "activity"}
"""What fingers know from vi and k9s."""
THEME, HOST = "theme", "host"
COMMANDING = (
    Action[Any]("run", "enter", "do it", "Do it.", needs_one=False),
    Action[Any]("complete", "tab", "complete", "Complete it.", needs_one=False),
    Action[Any]("close", "escape", "close", "Do nothing.", needs_one=False),
)
"""The keys that work while a command is typed."""
_GROUP = "After :"
ROWS = (
    KeyRow(":", "NAME", "An action of this page by its name, like :storage or :re-read; tab completes it.", _GROUP),
    KeyRow(":", "host NAME", "Only the VMs of this host.", _GROUP),
    KeyRow(":", "theme NAME", f"How it looks: {', '.join(short(theme.name) for theme in THEMES)}.", _GROUP),
    KeyRow(":", "q", "Leave the console.", _GROUP),
)
"""What help says of this line."""


def commands(actions: Iterable[Action[Any]], hosts: Iterable[str]) -> list[str]:
    """Everything that is understood, whole, for completion."""
    names = dict.fromkeys(action.name for action in actions)
    return [*names, *(f"{HOST} {host}" for host in hosts), *(f"{THEME} {short(theme.name)}" for theme in THEMES)]


def action_named(word: str, actions: Sequence[Action[Any]]) -> Action[Any] | None:
    """The action with this name, or that it is short for. Part of a name is not enough: the next letter may make it
    another act."""
    wanted = ALIASES.get(word.casefold(), word.casefold())
    return next((action for action in actions if action.name == wanted), None)


def not_understood(word: str, actions: Sequence[Action[Any]]) -> str:
    """The sentence for a word that is no command, with those that begin like it."""
    first, _, more = word.partition(" ")
    if more and (action := action_named(first, actions)):
        return (
            f"{action.name} takes no word after it{': it is done to what the cursor is on' if action.needs_one else ''}"
        )
    near = list(dict.fromkeys(a.name for a in actions if word and a.name.startswith(word[:1].casefold())))
    if not near:
        return f"there is no command {word}: tab completes what is begun, ? lists the keys"
    return f"there is no command {word}: there {'are' if len(near) > 1 else 'is'} {', '.join(near)}"
