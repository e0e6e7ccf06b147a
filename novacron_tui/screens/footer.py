"""The bottom line: the available keys with their labels; refused ones are dimmed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from novacron_tui.actions import Action
from novacron_tui.screens.global_actions import HELP
from novacron_tui.widgets.text_bar import Piece

WhyNot = Callable[[Action[Any]], str | None]


def offered(actions: Sequence[Action[Any]], here: Action[Any] | None, why_not: WhyNot) -> list[Action[Any]]:
    """One action per key: of two with the same key the allowed one, else the first."""
    by_key: dict[str, Action[Any]] = {}
    for action in actions:
        if action is here or not action.key or (action.rare and why_not(action)):
            continue
        chosen = by_key.get(action.key)
        if chosen is None or (why_not(chosen) and not why_not(action)):
            by_key[action.key] = action
    return list(by_key.values())


def pieces(
    actions: Sequence[Action[Any]], every: Sequence[Action[Any]], why_not: WhyNot, *, roomy: bool
) -> list[Piece]:
    """The footer. With enough room every key keeps its place, so that only changes are painted; else refused keys are
    dropped first. `every` are all actions of the screen: those with the same key share a place."""
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
    """The longest label of a key in cells: two actions may share the key."""
    return max((len(action.label) for action in actions if action.key == key), default=0)
