"""The list of problems."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from novacron_core.rules.filters.language import compile_filter
from novacron_core.values.ages import age_s, age_text
from novacron_tui.connection.session import Session
from novacron_tui.problems.entries import FIELDS, ProblemEntry, problems, version
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.widgets.cells import MINOR, Cell, Column
from novacron_tui.widgets.list_pane import ListPane
from novacron_tui.widgets.table import Table
from novacron_tui.widgets.text_bar import Piece


class ProblemPane(ListPane[ProblemEntry]):
    """Everything that is wrong, worst first."""

    NOUN = "problem"
    EXAMPLE = "a word, or kind:crashed host:kvm-a"

    def __init__(self, session: Session, glyphs: Glyphs) -> None:
        self._session = session
        self._glyphs = glyphs
        table: Table[ProblemEntry] = Table(
            self._columns(), lambda problem: problem.id, signs=glyphs.table_signs, sort="given", id="problems"
        )
        super().__init__(table)

    def version(self) -> tuple[int, int]:
        return version(self._session.store)

    def rows(self) -> Sequence[ProblemEntry]:
        return problems(self._session.store)

    def total(self) -> int:
        return len(problems(self._session.store))

    def compile(self, text: str) -> Callable[[ProblemEntry], bool]:
        return compile_filter(text, FIELDS)

    def placeholder(self) -> Sequence[Piece]:
        if self.total():
            return ()
        return [
            Piece(f"{self._glyphs.ok} no problems\n\n", "good"),
            Piece("Crashed, failed and unknown VMs, hosts that are down, full or missing pools\n", "quiet"),
            Piece("operations that failed and security warnings of the last 24 hours are listed here.", "quiet"),
        ]

    def _columns(self) -> list[Column[ProblemEntry]]:
        text, session = self._glyphs.cell, self._session

        def kind(problem: ProblemEntry) -> Cell:
            return ((f"{self._glyphs.bad} {problem.kind}", "bad" if problem.severe else "warn"),)

        def next_step(problem: ProblemEntry) -> Cell:
            return ((f"{problem.next_key} ", "accent"), (problem.next_step, "plain"))

        return [
            Column("kind", "PROBLEM", 18, kind, lambda p: p.kind, stretch=1, widest=26),
            Column("name", "NAME", 14, lambda p: text(p.name, "strong"), lambda p: p.name, stretch=1, widest=32),
            Column("host", "HOST", 10, lambda p: text(p.host, "quiet"), lambda p: p.host or None, rank=MINOR + 1),
            Column("since", "SINCE", 6, lambda p: text(age_text(age_s(p.since, session.now)) if p.since else "", "quiet"),
                   lambda p: -p.since.timestamp() if p.since else None, right=True, rank=MINOR),
            Column("why", "WHY", 16, lambda p: text(p.why), stretch=9, widest=110, rank=1, wish=24),
            Column("next", "NEXT", 15, next_step, stretch=1, widest=34, rank=1),
        ]  # fmt: skip

    def hint(self) -> Sequence[Piece]:
        """The whole reason of the problem under the cursor."""
        problem = self.table.row if self.table.display else None
        if problem is None:
            return []
        return [
            Piece(f"{problem.name}: {problem.kind}", "bad" if problem.severe else "warn"),
            Piece(f"  {problem.why}"),
        ]
