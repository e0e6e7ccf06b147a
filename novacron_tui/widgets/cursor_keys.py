"""The keys that move a cursor in all widgets: arrows and vim keys."""

from __future__ import annotations

from textual.binding import Binding

_KEYS = {
    "up": "up,k",
    "down": "down,j",
    "left": "left,h",
    "right": "right,l",
    "page_up": "pageup,ctrl+b",
    "page_down": "pagedown,ctrl+f",
    "home": "home,g",
    "end": "end,G",
}


def cursor_bindings(**actions: str) -> list[Binding]:
    """Hidden bindings from directions to actions of a widget: `up="move(-1)"`."""
    return [Binding(_KEYS[direction], action, show=False) for direction, action in actions.items()]
