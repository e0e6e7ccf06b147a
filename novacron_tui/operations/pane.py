"""The list of operations and events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

from novacron_core.rules.filters.language import compile_filter
from novacron_tui.connection.session import Session
from novacron_tui.operations.columns import columns
from novacron_tui.operations.entries import FIELDS, ActivityEntry, entries
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.widgets.list_pane import ListPane
from novacron_tui.widgets.table import Table
from novacron_tui.widgets.text_bar import Piece


class ActivityPane(ListPane[ActivityEntry]):
    """`keep` selects the entries to list; without it all are."""

    NOUN = "entry"
    EXAMPLE = "plain words, or state:failed by:ada target:web-*"

    def __init__(self, session: Session, glyphs: Glyphs, keep: Callable[[ActivityEntry], bool] | None = None) -> None:
        self._session = session
        self._keep = keep
        self._entries: list[ActivityEntry] = []
        of_one = keep is not None
        table: Table[ActivityEntry] = Table(
            columns(glyphs, lambda: session.now, of_one=of_one),
            lambda entry: entry.id,
            signs=glyphs.table_signs,
            sort="given",
            id="activity",
        )
        super().__init__(table)

    def version(self) -> int:
        return self._session.store.version

    def rows(self) -> Sequence[ActivityEntry]:
        every = entries(self._session.store, folded=self._keep is None)
        self._entries = [entry for entry in every if self._keep(entry)] if self._keep else every
        return self._entries

    def total(self) -> int:
        return len(self._entries)

    def compile(self, text: str) -> Callable[[ActivityEntry], bool]:
        return compile_filter(text, FIELDS)

    def restore_cursor(self, before: Self) -> None:
        """A cursor that was on the newest row stays on the newest row."""
        row = before.table.row
        if row is not None and row is not before.table.rows[0]:
            self.table.restore_from(before.table)
        else:
            self.table.move_to(0)

    def hint(self) -> Sequence[Piece]:
        """More about the entry under the cursor than its row shows."""
        entry = self.table.row
        if entry is None:
            return [Piece("no entry matches the filter" if self.filter.text else "no operations yet", "quiet")]
        return [Piece(f"{entry.target}: {entry.what}", entry.tone), Piece(f"  {entry.detail}", "plain")]
