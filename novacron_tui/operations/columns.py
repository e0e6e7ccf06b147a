"""The columns of the activity list."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from rich.cells import cell_len

from novacron_core.rules.bulk_words import counts_text
from novacron_core.values.ages import age_s, age_text
from novacron_tui.operations.entries import ActivityEntry, local
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.widgets.cells import MINOR, Cell, Column

CLOCK = "clock"
"""The column in whose order the rows are given: the timeline, which no sort key makes."""
_WHAT = 24
_BAR = 6
_WISH = 48
"""So much of a reason tells nearly always what to do: the age, which the clock tells too, gives way to it."""
_PROGRESS = _BAR + 6
"""Cells of a bar and its per cent, with a blank before each."""
_RULE = 200
"""Cells of a line across the list: more than any terminal has."""


def across(glyphs: Glyphs) -> Callable[[ActivityEntry], Cell | None]:
    """Draws the rows that are lines: `── Thu 26 Nov ────`."""
    dash = "-" if glyphs.ascii else "─"

    def draw(entry: ActivityEntry) -> Cell | None:
        return ((f"{dash * 2} {entry.line} {dash * _RULE}", "quiet"),) if entry.line else None

    return draw


@dataclass(frozen=True, slots=True)
class Longest:
    """The cells of the longest texts so far: columns are no wider, because the reason needs the room."""

    what: int = 12
    target: int = 6
    actor: int = 3
    detail: int = 0

    def with_rows(self, rows: Iterable[ActivityEntry]) -> Longest:
        """With the texts of these rows."""
        what, target, actor, detail = self.what, self.target, self.actor, self.detail
        for row in rows:
            what = max(what, cell_len(row.what) + 2 + (_PROGRESS if row.runs else 0))
            target, actor = max(target, cell_len(row.target)), max(actor, cell_len(row.actor))
            detail = max(detail, cell_len(row.detail))
        return Longest(what, target, actor, detail)


def columns(
    glyphs: Glyphs, now: Callable[[], datetime], longest: Longest, *, of_one: bool = False
) -> list[Column[ActivityEntry]]:
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
        Column("age", "AGE", 6, lambda entry: ((age_text(age_s(entry.at, now())), "quiet"),), right=True, rank=MINOR),
        Column("what", "WHAT", min(_WHAT, longest.what), what, lambda entry: entry.what or None, stretch=1,
               widest=min(34, longest.what)),
        *([] if of_one else [
            Column("target", "TARGET", min(13, longest.target), lambda entry: text(entry.target, "strong"), lambda entry: entry.target or None,
                   stretch=1, widest=min(32, longest.target)),
        ]),
        Column("by", "BY", min(7, longest.actor), lambda entry: text(entry.actor, "quiet"), lambda entry: entry.actor or None, rank=2,
               stretch=1, widest=min(14, longest.actor)),
        Column("detail", "REASON", 16, detail, lambda entry: entry.detail or None, rank=1, stretch=4, widest=120,
               wish=min(_WISH, longest.detail)),
    ]  # fmt: skip
