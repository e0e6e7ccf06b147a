"""The keys that work while a filter is typed: letters are text then, on every screen with a `/` line."""

from __future__ import annotations

from typing import Any

from novacron_tui.actions import Action
from novacron_tui.widgets.filter_line import FilterLine

KEEP = Action[Any]("keep", "enter", "keep the filter", "Keep the filter.", needs_one=False)
CLEAR = Action[Any]("clear", "escape", "clear it", "Show all again.", needs_one=False)
EARLIER = Action[Any]("earlier", "up", "earlier ones", "The filters before.", needs_one=False)
TYPING = (KEEP, CLEAR, EARLIER)


def do_typing(action: Action[Any], line: FilterLine) -> bool:
    """Carry out a key of the line that was clicked; False when it is none."""
    if action is KEEP:
        line.keep()
    elif action is CLEAR:
        line.action_clear()
    elif action is EARLIER:
        line.action_earlier(1)
    return action in TYPING
