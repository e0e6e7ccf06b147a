"""The list of the audit log: what is loaded of it, and as much more as is looked at."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Self

from textual import on
from textual.worker import Worker

from novacron_core.api import audit as api
from novacron_core.api.audit import AuditEntry, AuditQuery
from novacron_core.api.base import Page
from novacron_core.rules.filters.audit import audit_fields
from novacron_core.rules.filters.events import with_moments
from novacron_core.rules.filters.language import MAX_LENGTH, compile_filter
from novacron_core.values.ages import age_s, age_text
from novacron_tui.audit.entries import TONES, AuditRow, local, result, sentence, target, who, with_days
from novacron_tui.audit.log import AuditLog
from novacron_tui.connection.session import Session
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.widgets.cells import MINOR, Cell, Column
from novacron_tui.widgets.list_pane import ListPane
from novacron_tui.widgets.once import once
from novacron_tui.widgets.table import Table
from novacron_tui.widgets.text_bar import Piece

MORE = "more"
"""The id of the last row while there are older entries."""
CLOCK = "clock"
"""The column of the order in which the server lists."""
_PAUSE_S = 0.4
"""The server is asked for a filter when nothing was typed for so long."""
_RULE = 200
"""Cells of a line across the list: more than any terminal has."""


class AuditPane(ListPane[AuditRow]):
    """Entries that are loaded are filtered at once; the server is asked for all that match."""

    NOUN = "entry"
    EXAMPLE = "user:eve action:stop target:db-01, or from:10.0.* result:refused since:22:00"

    def __init__(self, session: Session, glyphs: Glyphs) -> None:
        self._session, self._glyphs = session, glyphs
        self._log = self._new_log("")
        self._matching: AuditLog | None = None
        """The entries that match the filter, which may be older than those of `_log`."""
        self._test: Callable[[AuditEntry], bool] | None = None
        self._shown = 0
        self._placed = False
        table: Table[AuditRow] = Table(
            self._columns(), lambda row: row.id, signs=glyphs.table_signs, sort=CLOCK, across=self._across, id="audit"
        )
        super().__init__(table)

    def _new_log(self, q: str) -> AuditLog:
        return AuditLog(self._read, q, lambda: self._session.now)

    async def _read(self, query: AuditQuery) -> Page[AuditEntry]:
        return await self._session.client.call(api.LIST, query=query)

    def on_mount(self) -> None:
        if text := self.filter.text:  # of the screen that was left before
            once(self, _PAUSE_S, lambda: self._search(text))

    # -- the rows ----------------------------------------------------------------------------------------------------

    @property
    def _current(self) -> AuditLog:
        return self._matching or self._log

    def version(self) -> Hashable:
        log = self._current
        return (log.q, log.version, self._log.version, self.filter.text, self.table.sort_key)

    def rows(self) -> Sequence[AuditRow]:
        log = self._matching if self._matching is not None and self._matching.loaded else self._log
        found = log.entries
        if (test := self._test) is not None:
            found = [entry for entry in found if test(entry)]
        self._shown = len(found)
        if self.table.sort_key == CLOCK:
            return [*with_days(found), *self._more()]
        return [*(row for row in with_days(found) if row.entry), *self._more()]

    def _more(self) -> list[AuditRow]:
        log = self._current
        if log.problem:
            return [AuditRow(MORE, line=f"more entries cannot be shown: {log.problem}; enter tries again")]
        return [] if log.complete else [AuditRow(MORE, line="loading older entries…")]

    def total(self) -> int:
        return max(self._current.total, self._shown) or self._log.total

    def refresh_state(self) -> None:
        super().refresh_state()
        if not self.filter_error:
            self.filter.show_note(f"{self._shown:,} of {self.total():,}")

    def refresh_data(self) -> None:
        super().refresh_data()
        first = next((row for row in self.table.rows if row.entry), None)
        if not self._placed and first is not None:
            self._placed = self._current.loaded  # what is loaded may be others than those that match
            self.table.select(first.id)
        self._load_what_is_missing()

    def placeholder(self) -> Sequence[Piece]:
        if self._log.loaded or self._log.problem:
            return ()
        return [Piece(f"{self._glyphs.work} reading…", "busy")]

    def _across(self, row: AuditRow) -> Cell | None:
        dash = "-" if self._glyphs.ascii else "─"
        return ((f"{dash * 2} {row.line} {dash * _RULE}", "quiet"),) if row.line else None

    def _columns(self) -> list[Column[AuditRow]]:
        text, session = self._glyphs.cell, self._session

        def of(draw: Callable[[AuditEntry], str], tone: str = "plain") -> Callable[[AuditRow], Cell]:
            return lambda row: text(draw(row.entry), tone) if row.entry else text("")

        def by(value: Callable[[AuditEntry], str]) -> Callable[[AuditRow], str | None]:
            return lambda row: (value(row.entry) or None) if row.entry else None

        def outcome(row: AuditRow) -> Cell:
            return ((result(row.entry), TONES.get(row.entry.result, "plain")),) if row.entry else text("")

        def age(entry: AuditEntry) -> str:
            return age_text(age_s(entry.time, session.now))

        return [
            Column(CLOCK, "CLOCK", 8, of(lambda e: f"{local(e.time):%H:%M:%S}"), largest_first=True),
            Column("age", "AGE", 6, of(age, "quiet"), right=True, rank=MINOR),
            Column("who", "WHO", 7, of(who, "strong"), by(who), stretch=2, widest=24),
            Column("role", "ROLE", 6, of(lambda e: e.role), by(lambda e: e.role), rank=MINOR, stretch=2, widest=13,
                   wish=13),
            Column("from", "FROM", 15, of(lambda e: e.address), by(lambda e: e.address), stretch=1, widest=24),
            Column("action", "ACTION", 11, of(lambda e: e.action), by(lambda e: e.action), stretch=3, widest=26, wish=20),
            Column("target", "TARGET", 8, of(target, "strong"), by(target), stretch=3, widest=32),
            Column("result", "RESULT", 8, outcome, by(lambda e: str(e.result)), stretch=1, widest=12, wish=11),
            Column("detail", "DETAIL", 16, of(lambda e: e.detail, "quiet"), by(lambda e: e.detail), rank=3, stretch=4,
                   widest=80, wish=24),
            Column("request", "REQUEST", 16, of(lambda e: e.request_id, "quiet"), by(lambda e: e.request_id),
                   rank=MINOR + 1),
            Column("tenant", "TENANT", 8, of(lambda e: e.tenant, "quiet"), by(lambda e: e.tenant), rank=6),
        ]  # fmt: skip

    # -- loading -----------------------------------------------------------------------------------------------------

    @on(Table.Moved)
    def _load_what_is_missing(self) -> None:
        """Load older entries when the cursor comes near the end."""
        if not self.is_mounted:
            return
        height = max(1, self.table.size.height)
        near_the_end = len(self.table.rows) - self.table.cursor_at <= height
        if self._test is not None and self._matching is None:
            near_the_end = False  # the server will be asked for what matches, not for everything
        log = self._current
        if (near_the_end or not log.loaded) and not log.complete and log.may_load:
            self._start(log, log.load)

    def load_new(self) -> None:
        """Read what was added since."""
        log = self._current
        if self.is_mounted and log.may_load:
            self._start(log, log.load_new)

    def _start(self, log: AuditLog, load: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            await load()
            self.refresh_data()
            self.post_message(self.Filtered())  # the row under the cursor may be another one

        # The function, and not a coroutine, which would never be awaited if the screen is left before.
        _worker: Worker[None] = self.run_worker(run, group=f"audit {id(log)}")

    def open_itself(self, row: AuditRow) -> bool:
        """Whether `enter` on this row is the list's own: it loads again."""
        if row.id == MORE:
            self._current.retry()
            self._load_what_is_missing()
        return row.entry is None

    # -- the filter --------------------------------------------------------------------------------------------------

    def compile(self, text: str) -> Callable[[AuditRow], bool]:
        test = self._compile(text)
        return lambda row: row.entry is not None and test(row.entry)

    def _compile(self, text: str) -> Callable[[AuditEntry], bool]:
        return compile_filter(text, audit_fields(lambda: self._session.now, zone=None))

    def apply_filter(self, text: str) -> None:
        """Filter what is loaded at once; the server is asked for the rest when the typing pauses."""
        super().apply_filter("")
        self.filter_error = ""
        try:
            test = self._compile(text)
        except ValueError as e:
            self.filter_error = str(e)
            return
        self._test, self._matching, self._placed = test if text else None, None, False
        if self.is_mounted:
            self.refresh_data()
            if text:
                once(self, _PAUSE_S, lambda: self._search(text))

    def _search(self, text: str) -> None:
        """Ask the server for the entries that match, unless the filter is another one by now."""
        if text != self.filter.text or self._matching is not None or self.filter_error:
            return
        q = with_moments(text, self._session.now)
        if len(q) <= MAX_LENGTH:
            self._matching, self._placed = self._new_log(q), False
            self.refresh_data()

    def restore_cursor(self, before: Self) -> None:
        """A cursor that was on the newest row stays on the newest row."""
        self._log = before._log
        super().restore_cursor(before)

    def hint(self) -> Sequence[Piece]:
        """The entry under the cursor as a sentence."""
        row = self.table.row if self.table.display else None
        if row is None or row.entry is None:
            return [Piece(row.line, "quiet")] if row is not None and row.id == MORE else ()
        return sentence(row.entry)
