"""The bottom line: the keys that work here, now, with their labels; those that are refused are quiet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from novacron_tui.actions import Action
from novacron_tui.screens.global_actions import HELP
from novacron_tui.widgets.text_bar import Piece

WhyNot = Callable[[Action[Any]], str | None]


def offered(actions: Sequence[Action[Any]], here: Action[Any] | None, why_not: WhyNot) -> list[Action[Any]]:
    """One action for each key: where two share one, that which is possible, else the first."""
    found: dict[str, Action[Any]] = {}
    for action in actions:
        if action is here:
            continue
        held = found.get(action.key)
        if held is None or (why_not(held) and not why_not(action)):
            found[action.key] = action
    return list(found.values())


def pieces(
    actions: Sequence[Action[Any]], every: Sequence[Action[Any]], why_not: WhyNot, *, roomy: bool
) -> list[Piece]:
    """Where there is room every key keeps its place, so that only what changes is painted; where there is little,
    those that are refused give way first. `every` is what the screen has, and so what shares a place."""
    shown: list[Piece] = []
    for rank, action in enumerate(actions):
        refused = why_not(action) is not None
        keep = 0 if action is HELP else rank + (6 if refused and not roomy else 1)
        label = action.label.ljust(_label_width(every, action.key) if roomy else 0)
        key = "esc" if action.key == "escape" else action.key
        gap = "  " if shown else ""
        shown.append(Piece(f"{gap}{key}", "quiet" if refused else "key", keep, action.key, action.key))
        shown.append(Piece(f" {label}", "quiet" if refused else "plain", keep, action.key, action.key))
    return shown


def _label_width(actions: Sequence[Action[Any]], key: str) -> int:
    """Cells of the longest label of a key: two actions may share it."""
    return max((len(action.label) for action in actions if action.key == key), default=0)
