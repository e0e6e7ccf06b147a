"""The columns of the activity list."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from novacron_core.values.ages import age_s, age_text
from novacron_tui.operations.entries import ActivityEntry
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.widgets.cells import Cell, Column

_WHAT = 22
_BAR = 6


def columns(glyphs: Glyphs, now: Callable[[], datetime], *, of_one: bool = False) -> list[Column[ActivityEntry]]:
    """Age, action, target, actor and the reason, which takes the rest of the line. `of_one`: without the target, which is
    the same in all rows."""

    def what(entry: ActivityEntry) -> Cell:
        sign = {"good": glyphs.ok, "bad": glyphs.bad, "busy": glyphs.work}.get(entry.tone, glyphs.dot)
        word = f"{sign} {entry.what}"
        if entry.op is None or not entry.runs or entry.op.progress is None:
            return ((word, entry.tone),)
        return ((f"{word} {glyphs.bar(entry.op.progress, _BAR)}{entry.op.progress:>5.0%}", entry.tone),)

    text = glyphs.cell

    return [
        Column("age", "AGE", 6, lambda entry: ((age_text(age_s(entry.at, now())), "quiet"),), right=True),
        Column("what", "WHAT", _WHAT, what, stretch=1, widest=34),
        *([] if of_one else [
            Column("target", "TARGET", 14, lambda entry: text(entry.target, "strong"), stretch=1, widest=32),
        ]),
        Column("by", "BY", 8, lambda entry: text(entry.actor, "quiet"), rank=2, stretch=1, widest=14),
        Column("detail", "REASON", 16, lambda entry: ((entry.detail, "plain"),), rank=1, stretch=4, widest=120),
    ]  # fmt: skip
