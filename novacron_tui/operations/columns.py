"""The columns of the activity list."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from novacron_core.rules.bulk_words import counts_text
from novacron_core.values.ages import age_s, age_text
from novacron_tui.operations.entries import ActivityEntry, local
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.widgets.cells import Cell, Column

CLOCK = "clock"
"""The column in whose order the rows are given: the timeline, which no sort key makes."""
_WHAT = 24
_BAR = 6
_RULE = 200
"""Cells of a line across the list: more than any terminal has."""


def across(glyphs: Glyphs) -> Callable[[ActivityEntry], Cell | None]:
    """Draws the rows that are lines: `── Thu 26 Nov ────`."""
    dash = "-" if glyphs.ascii else "─"

    def draw(entry: ActivityEntry) -> Cell | None:
        return ((f"{dash * 2} {entry.line} {dash * _RULE}", "quiet"),) if entry.line else None

    return draw


def columns(glyphs: Glyphs, now: Callable[[], datetime], *, of_one: bool = False) -> list[Column[ActivityEntry]]:
    """Clock (in the operator's zone), age, action, target, actor and the reason, which takes the rest of the line. `of_one`: without the target, which is
    the same in all rows."""

    def what(entry: ActivityEntry) -> Cell:
        sign = {"good": glyphs.ok, "bad": glyphs.bad, "busy": glyphs.work}.get(entry.tone, glyphs.dot)
        word = f"{sign} {entry.what}"
        if entry.op is None or not entry.runs or entry.op.progress is None:
            return ((word, entry.tone),)
        return ((f"{word} {glyphs.bar(entry.op.progress, _BAR)}{entry.op.progress:>5.0%}", entry.tone),)

    text = glyphs.cell

    def detail(entry: ActivityEntry) -> Cell:
        count = ((f"{glyphs.arrow} {len(entry.folded):,}  ", "accent"),) if entry.folded else ()
        counts = entry.op.counts if entry.op else None
        done = counts_text(entry.op.child_kind, counts) if entry.op and counts else ""
        return (*count, (entry.detail or done, "plain"))

    return [
        Column(CLOCK, "CLOCK", 8, lambda entry: ((f"{local(entry.at):%H:%M:%S}", "plain"),), largest_first=True),
        Column("age", "AGE", 6, lambda entry: ((age_text(age_s(entry.at, now())), "quiet"),), right=True, rank=3),
        Column("what", "WHAT", _WHAT, what, lambda entry: entry.what or None, stretch=1, widest=34),
        *([] if of_one else [
            Column("target", "TARGET", 13, lambda entry: text(entry.target, "strong"), lambda entry: entry.target or None,
                   stretch=1, widest=32),
        ]),
        Column("by", "BY", 7, lambda entry: text(entry.actor, "quiet"), lambda entry: entry.actor or None, rank=2,
               stretch=1, widest=14),
        Column("detail", "REASON", 16, detail, lambda entry: entry.detail or None, rank=1, stretch=4, widest=120),
    ]  # fmt: skip
