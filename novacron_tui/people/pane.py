"""The list of people."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from novacron_core.rules.filters.language import compile_filter
from novacron_core.values.ages import age_s, age_text
from novacron_tui.connection.session import Session
from novacron_tui.people.entries import FIELDS, PersonEntry
from novacron_tui.people.reading import PeopleData
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.widgets.cells import Cell, Column
from novacron_tui.widgets.list_pane import ListPane
from novacron_tui.widgets.table import Table
from novacron_tui.widgets.text_bar import Piece

_TONES = {"active": "good", "disabled": "quiet", "invited": "busy", "expired": "warn"}


class PeoplePane(ListPane[PersonEntry]):
    """Accounts and open invitations, by name."""

    NOUN = "person"
    EXAMPLE = "a name, or role:owner state:invited"

    def __init__(self, session: Session, glyphs: Glyphs, data: PeopleData) -> None:
        self._session, self._glyphs, self.data = session, glyphs, data
        table: Table[PersonEntry] = Table(
            self._columns(), lambda entry: entry.id, signs=glyphs.table_signs, sort="name", id="people"
        )
        super().__init__(table)

    def version(self) -> Hashable:
        return self.data.version

    def rows(self) -> Sequence[PersonEntry]:
        return self.data.rows

    def total(self) -> int:
        return len(self.data.rows)

    def compile(self, text: str) -> Callable[[PersonEntry], bool]:
        return compile_filter(text, FIELDS)

    def placeholder(self) -> Sequence[Piece]:
        if self.data.rows:
            return ()
        if self.data.error:
            return [
                Piece(f"{self._glyphs.bad} {self.data.error}\n\n", "bad"),
                Piece("r", "key"),
                Piece(" tries again", "quiet"),
            ]
        return [Piece(f"{self._glyphs.work} reading…", "busy")]

    def _columns(self) -> list[Column[PersonEntry]]:
        text, session, glyphs = self._glyphs.cell, self._session, self._glyphs

        def state(entry: PersonEntry) -> Cell:
            return ((entry.state, _TONES.get(entry.state, "plain")),)

        def second_factor(entry: PersonEntry) -> Cell:
            if entry.person is None:
                return text("")
            return ((glyphs.ok, "good"),) if entry.person.second_factor else text("")

        def seen(entry: PersonEntry) -> Cell:
            return text(age_text(age_s(entry.seen_at, session.now)) if entry.seen_at else "", "quiet")

        return [
            Column("name", "NAME", 14, lambda e: text(e.name, "strong"), lambda e: e.name.lower(), stretch=2, widest=32),
            Column("role", "ROLE", 13, lambda e: text(e.role), lambda e: e.role),
            Column("state", "STATE", 8, state, lambda e: e.state),
            Column("tenants", "TENANTS", 10, lambda e: text(e.tenants), lambda e: e.tenants, stretch=2, widest=40, rank=1),
            Column("second", "2FA", 3, second_factor, lambda e: not (e.person and e.person.second_factor), rank=2),
            Column("seen", "SEEN", 6, seen, lambda e: -e.seen_at.timestamp() if e.seen_at else None, right=True, rank=3),
            Column("email", "EMAIL", 12, lambda e: text(e.email, "quiet"), lambda e: e.email or None, stretch=3, rank=4),
        ]  # fmt: skip
