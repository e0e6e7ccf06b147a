"""The actions on charts."""

from __future__ import annotations

from typing import Any

from novacron_tui.actions import Action

RANGE = Action[Any](
    "range", "w", "time", "Show the last five minutes, hour or day.", needs_one=False, group="Metrics",
    run=lambda screen, _: screen.next_range(),
)  # fmt: skip
