"""The keys of the `/` line: while a filter is typed, letters are text."""

from __future__ import annotations

from typing import Any

from novacron_tui.actions import Action
from novacron_tui.widgets.filter_line import FilterLine

KEEP = Action[Any]("keep", "enter", "keep the filter", "Apply the filter.", needs_one=False)
CLEAR = Action[Any]("clear", "escape", "clear it", "Clear the filter.", needs_one=False)
EARLIER = Action[Any]("earlier", "up", "earlier ones", "Previous filters.", needs_one=False)
FILTER_KEYS = (KEEP, CLEAR, EARLIER)


def run_filter_key(action: Action[Any], line: FilterLine) -> bool:
    """Run a clicked key of the filter line; False when the action is not one of them."""
    if action is KEEP:
        line.keep()
    elif action is CLEAR:
        line.action_clear()
    elif action is EARLIER:
        line.action_earlier(1)
    return action in FILTER_KEYS
