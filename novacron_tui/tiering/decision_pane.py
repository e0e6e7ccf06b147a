"""The list of what the server decided about moves."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from novacron_core.api.automatic import StorageDecision
from novacron_core.rules.filters.language import FilterField, compile_filter
from novacron_core.values.ages import age_s, age_text
from novacron_tui.connection.session import Session
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.tiering.automatic import AutomaticData
from novacron_tui.tiering.shared import move_cell, unread
from novacron_tui.widgets.cells import Column
from novacron_tui.widgets.list_pane import ListPane
from novacron_tui.widgets.table import Table
from novacron_tui.widgets.text_bar import Piece

_TONES = {"moving": "busy", "moved": "good", "failed": "bad", "stopped": "warn", "cancelled": "warn"}
FIELDS: dict[str, FilterField[StorageDecision]] = {
    "name": FilterField(lambda row: row.name),
    "from": FilterField(lambda row: row.source),
    "to": FilterField(lambda row: row.target),
    "result": FilterField(lambda row: row.result),
    "why": FilterField(lambda row: row.reason),
}


class DecisionPane(ListPane[StorageDecision]):
    """Newest first."""

    NOUN = "decision"
    EXAMPLE = "name, or result:held from:warm to:hot why:slow"

    def __init__(self, session: Session, glyphs: Glyphs, data: AutomaticData) -> None:
        self._session, self._glyphs, self.data = session, glyphs, data
        super().__init__(
            Table(self._columns(), lambda row: row.id, signs=glyphs.table_signs, sort="last", id="decisions")
        )

    def version(self) -> Hashable:
        return self.data.version, self._session.now.replace(second=0, microsecond=0)

    def rows(self) -> Sequence[StorageDecision]:
        return self.data.rows

    def total(self) -> int:
        return self.data.total

    def compile(self, text: str) -> Callable[[StorageDecision], bool]:
        return compile_filter(text, FIELDS)

    def placeholder(self) -> Sequence[Piece]:
        data = self.data
        if data.rows:
            return ()
        if not data.loaded:
            return unread(data.error, self._glyphs)
        if data.status is not None and data.status.enabled:
            words = "automatic moves are on: what the server moves, or does not, is listed here for a year"
            return [Piece("nothing was decided yet\n\n", "strong"), Piece(words, "quiet")]
        words = " turns on automatic moves: the server then makes the advised ones by itself,\none at a time, and each "
        return [
            Piece("nothing was decided yet\n\n", "strong"),
            Piece("M", "key"),
            Piece(f"{words}decision is listed here for a year", "quiet"),
        ]

    def hint(self) -> Sequence[Piece]:
        """Why, of the decision under the cursor."""
        row = self.table.row
        if row is None:
            return ()
        return [Piece(one_line(row.why), "quiet")]

    def _columns(self) -> list[Column[StorageDecision]]:
        text, glyphs = self._glyphs.cell, self._glyphs

        def age(row: StorageDecision) -> str:
            return age_text(age_s(row.last_at, self._session.now) or 0.0)

        return [
            Column("last", "AGO", 5, lambda r: text(age(r), "quiet"), lambda r: -r.last_at.timestamp(), right=True),
            Column("name", "VOLUME", 16, lambda r: text(r.name, "strong"), lambda r: r.name, stretch=2, widest=40, wish=21),
            Column("move", "MOVE", 12, lambda r: move_cell(r.source, r.target, glyphs), lambda r: (r.source, r.target)),
            Column("result", "RESULT", 9, lambda r: text(r.result, _TONES.get(r.result, "quiet")), lambda r: r.result),
            Column("times", "TIMES", 5, lambda r: text(f"{r.times:,}" if r.times > 1 else ""), lambda r: r.times,
                   right=True, rank=2, largest_first=True),
            Column("why", "WHY", 25, lambda r: text(r.why), lambda r: r.why, stretch=4, rank=1),
        ]  # fmt: skip
