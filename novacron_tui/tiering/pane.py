"""The list of recommended moves."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from novacron_core.rules.filters.language import FilterField, compile_filter
from novacron_core.rules.tiering.words import operations_text
from novacron_core.values.ages import age_text
from novacron_core.values.sizes import size_text
from novacron_tui.connection.session import Session
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.tiering.entries import AdviceEntry, entries
from novacron_tui.tiering.reading import AdviceData
from novacron_tui.tiering.shared import move_cell, unread
from novacron_tui.widgets.cells import Cell, Column
from novacron_tui.widgets.list_pane import ListPane
from novacron_tui.widgets.table import Table
from novacron_tui.widgets.text_bar import Piece

WHY = {"hot": "hot here", "cold": "idle here", "space": "makes room"}
FIELDS: dict[str, FilterField[AdviceEntry]] = {
    "name": FilterField(lambda row: row.advice.name),
    "from": FilterField(lambda row: row.advice.source),
    "to": FilterField(lambda row: row.advice.target),
    "why": FilterField(lambda row: row.advice.why),
    "size": FilterField(lambda row: row.advice.size_bytes, "size"),
}


class AdvicePane(ListPane[AdviceEntry]):
    """In the server's order: what makes room comes before what needs it."""

    NOUN = "move"
    EXAMPLE = "name, or from:warm to:hot why:space size>10G"

    def __init__(self, session: Session, glyphs: Glyphs, data: AdviceData) -> None:
        self._session, self._glyphs, self.data = session, glyphs, data
        super().__init__(
            Table(self._columns(), lambda row: row.id, signs=glyphs.table_signs, sort="number", id="advice")
        )

    def version(self) -> Hashable:
        return self.data.version, self._session.store.version

    def rows(self) -> Sequence[AdviceEntry]:
        return entries(self.data.rows, self._session.store)

    def total(self) -> int:
        return len(self.data.rows)

    def compile(self, text: str) -> Callable[[AdviceEntry], bool]:
        return compile_filter(text, FIELDS)

    def placeholder(self) -> Sequence[Piece]:
        data = self.data
        if data.rows:
            return ()
        if not data.loaded:
            return unread(data.error, self._glyphs)
        notes = "".join(f"\n{one_line(note)}" for note in data.notes)
        why = "A volume is judged once it was watched for a day, and is above the line in three evaluations of an hour."
        return [Piece("nothing should move now\n\n", "strong"), Piece(f"{why}\n{notes}", "quiet")]

    def hint(self) -> Sequence[Piece]:
        """Why the volume under the cursor should move, or why it cannot."""
        row = self.table.row
        if row is None:
            return [Piece(one_line(note), "quiet") for note in self.data.notes[:1]]
        if row.advice.refused:
            return [Piece(f"{self._glyphs.bad} {one_line(row.advice.refused)}", "warn")]
        return [Piece(one_line(row.advice.text.split("; ")[0]), "quiet")]

    def _columns(self) -> list[Column[AdviceEntry]]:
        text, glyphs = self._glyphs.cell, self._glyphs

        def why(row: AdviceEntry) -> Cell:
            if row.advice.refused:
                return ((f"{glyphs.bad} refused", "warn"),)
            if row.entry is not None and row.entry.operation is not None:
                return ((f"{glyphs.work} {one_line(row.entry.operation.step or 'busy')}", "busy"),)
            return text(WHY.get(row.advice.why, row.advice.why))

        def vm(row: AdviceEntry) -> str:
            return one_line(row.entry.vm.name) if row.entry and row.entry.vm else ""

        def latency(row: AdviceEntry) -> Cell:
            before, after = (
                self.data.latency_ms(row.advice.host, each) for each in (row.advice.source, row.advice.target)
            )
            if before is None or after is None:
                return text("")
            tone = "good" if after < before else "quiet"
            words = f"{operations_text(before)} {glyphs.arrow} {operations_text(after)} ms"
            return ((words, tone),)

        return [
            Column("number", "#", 3, lambda r: text(str(r.number), "quiet"), lambda r: r.number, right=True, rank=5),
            Column("name", "VOLUME", 16, lambda r: text(r.advice.name, "strong"), lambda r: r.advice.name, stretch=3,
                   widest=44, wish=21),
            Column("move", "MOVE", 12, lambda r: move_cell(r.advice.source, r.advice.target, glyphs), lambda r: (r.advice.source, r.advice.target)),
            Column("why", "WHY", 10, why, lambda r: (bool(r.advice.refused), r.advice.why), stretch=2, widest=30),
            Column("rate", "OPS/S", 7, lambda r: text(operations_text(min(r.advice.fast, r.advice.slow))),
                   lambda r: min(r.advice.fast, r.advice.slow), right=True, largest_first=True),
            Column("latency", "LATENCY", 13, latency, lambda r: r.advice.saved_s, right=True, rank=3, largest_first=True),
            Column("size", "COPIES", 9, lambda r: text(size_text(r.advice.size_bytes)), lambda r: r.advice.size_bytes,
                   right=True, rank=1, largest_first=True),
            Column("takes", "TAKES", 6, lambda r: text(age_text(r.advice.copy_s), "quiet"), lambda r: r.advice.copy_s,
                   right=True, rank=2, largest_first=True),
            Column("vm", "USED BY", 12, lambda r: text(vm(r)), vm, stretch=1, widest=24, rank=4),
        ]  # fmt: skip
