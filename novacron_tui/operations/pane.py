"""The timeline of operations and events: what the stream tells, and as much of the server's store as is looked at."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Self

from textual import on
from textual.worker import Worker

from novacron_core.api import stored_events as api
from novacron_core.api.base import Page
from novacron_core.api.stored_events import EventQuery, StoredEvent
from novacron_core.rules.filters.events import NOTABLE, PART, event_fields, with_moments
from novacron_core.rules.filters.language import MAX_LENGTH, compile_filter
from novacron_tui.actions import Action
from novacron_tui.connection.event_log import EventLog
from novacron_tui.connection.session import Session
from novacron_tui.operations.columns import CLOCK, Longest, across, columns
from novacron_tui.operations.entries import ActivityEntry
from novacron_tui.operations.happenings import Happenings
from novacron_tui.operations.timeline import Shown, line, timeline
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.widgets.cells import Column
from novacron_tui.widgets.list_pane import ListPane
from novacron_tui.widgets.once import once
from novacron_tui.widgets.table import Table
from novacron_tui.widgets.text_bar import Piece

MORE = "more"
"""The id of the last row while there are older events."""
_PAUSE_S = 0.4
"""The server is asked for a filter when nothing was typed for so long."""


class ActivityPane(ListPane[ActivityEntry]):
    """`keep` selects the entries to list, and `vm_id` is their target's id; without them all are listed, but not the
    operations of bulks, which stand for them."""

    NOUN = "entry"
    EXAMPLE = "plain words, or since:22:00 state:failed by:ada host:kvm-a"

    def __init__(
        self,
        session: Session,
        glyphs: Glyphs,
        keep: Callable[[ActivityEntry], bool] | None = None,
        *,
        vm_id: str = "",
    ) -> None:
        self._session = session
        self._nothing = "no events of this VM yet" if vm_id else "no operations and no events yet"
        self._base = f'is:{NOTABLE} id:"{vm_id}"' if vm_id else f"is:{NOTABLE} -is:{PART}"
        self._log = EventLog(session.store, self._read, self._base)
        self._matching: EventLog | None = None
        """The stored events that match the filter, which may be older than those of `_log`."""
        self._scheduled: set[EventLog] = set()
        """The logs whose next page is being loaded."""
        self._happenings = Happenings(session.store, keep)
        self._test: Callable[[ActivityEntry], bool] | None = None
        self._open: frozenset[str] = frozenset()
        self._folded_days: frozenset[str] = frozenset()
        self._counts = (0, 0)
        self._placed = False
        """Whether the cursor was put on the first entry."""
        self._glyphs, self._of_one, self._longest = glyphs, keep is not None, Longest()
        table: Table[ActivityEntry] = Table(
            self._columns(),
            lambda entry: entry.id,
            signs=glyphs.table_signs,
            sort=CLOCK,
            across=across(glyphs),
            marks_of=marks_of,
            id="activity",
        )
        super().__init__(table)

    def _columns(self) -> list[Column[ActivityEntry]]:
        return columns(self._glyphs, lambda: self._session.now, self._longest, of_one=self._of_one)

    async def _read(self, query: EventQuery) -> Page[StoredEvent]:
        return await self._session.client.call(api.LIST, query=query)

    def on_mount(self) -> None:
        if text := self.filter.text:  # of the screen that was left before
            once(self, _PAUSE_S, lambda: self._search(text))

    # -- the rows --------------------------------------------------------------------------------------------------

    def version(self) -> Hashable:
        matching = self._matching
        found = (matching.q, matching.version) if matching else None
        return (
            self._session.store.version,
            self._log.version,
            found,
            self._open,
            self._folded_days,
            self.filter.text,
            self.table.sort_key,
            self._session.last_here,
        )

    def rows(self) -> Sequence[ActivityEntry]:
        every = found = self._happenings.entries(self._log)
        if (test := self._test) is not None:
            found = [entry for entry in every if test(entry)]
            if self._matching is not None:
                known = {entry.id for entry in every}
                found += [entry for entry in self._happenings.stored(self._matching) if entry.id not in known]
        self._counts = (len(found), max(len(every), len(found)))
        if self.table.sort_key == CLOCK:
            rows = timeline(found, Shown(self._open, self._folded_days, self._session.last_here))
        else:  # no days and no groups: both are of the clock
            rows = sorted(found, key=lambda entry: entry.at, reverse=True)
        return [*rows, *self._more()]

    def _more(self) -> list[ActivityEntry]:
        """The last row, while there are older events."""
        log = self._current
        if log.problem:
            hint = "" if log.complete else "; enter tries again"
            return [line(MORE, f"older events cannot be shown: {log.problem}{hint}")]
        return [] if log.complete else [line(MORE, "loading older events…")]

    @property
    def _current(self) -> EventLog:
        """The log whose older pages are wanted: for a filter, that of what matches it."""
        return self._matching or self._log

    def total(self) -> int:
        return self._counts[1]

    def refresh_state(self) -> None:
        super().refresh_state()
        if not self.filter_error:
            self.filter.show_note(f"{self._counts[0]:,} of {self._counts[1]:,}")

    def refresh_data(self) -> None:
        seen = self._seen
        super().refresh_data()
        if self._seen != seen and (longest := self._longest.with_rows(self.table.rows)) != self._longest:
            self._longest = longest
            self.table.set_columns(self._columns())
        if not self._placed and (first := self._first) is not None:
            self._placed = True
            self.table.select(first.id)
        self._load_what_is_missing()

    @property
    def _first(self) -> ActivityEntry | None:
        """The first row that is an entry, and no line."""
        return next((row for row in self.table.rows if not row.line), None)

    # -- loading ---------------------------------------------------------------------------------------------------

    @on(Table.Sorted)
    def _begin_at_the_top(self) -> None:
        self._placed = False

    # -- marks -----------------------------------------------------------------------------------------------------

    def chosen(self) -> list[ActivityEntry]:
        """The marked entries, also those in a folded group, or else the one under the cursor."""
        table, found = self.table, dict[str, ActivityEntry]()
        for row in table.marked():
            found |= {entry.id: entry for entry in row.folded or (row,) if entry.id in table.marks}
        here = table.row
        return list(found.values()) or ([here] if here is not None and not here.line else [])

    def subject(self, action: Action[ActivityEntry]) -> ActivityEntry | None:
        """Of the chosen entries the first that an action may apply to, or else the first."""
        chosen, store = self.chosen(), self._session.store
        return next((entry for entry in chosen if action.why_not(entry, store) is None), next(iter(chosen), None))

    @on(Table.Moved)
    def _load_what_is_missing(self) -> None:
        """Load the newest events when some are missing, and older ones when the cursor comes near the end."""
        if not self.is_mounted or not self._session.store.loaded:
            return
        height = max(1, self.table.size.height)
        near_the_end = len(self.table.rows) - self.table.cursor_at <= height
        if self._test is not None and self._matching is None:
            near_the_end = False  # the server will be asked for what matches, not for everything
        for log in {self._log, self._current}:
            wanted = log.has_gap or (log is self._current and near_the_end and not log.complete)
            if wanted and log.may_load and log not in self._scheduled:
                self._start_loading(log)

    def _start_loading(self, log: EventLog) -> None:
        async def load() -> None:
            try:
                await log.load()
            finally:
                self._scheduled.discard(log)
            self.refresh_data()
            self.post_message(self.Filtered())  # the row under the cursor may be another one

        self._scheduled.add(log)
        # The function, and not a coroutine, which would never be awaited if the screen is left before.
        _worker: Worker[None] = self.run_worker(load, group="stored events")

    # -- the filter ------------------------------------------------------------------------------------------------

    def compile(self, text: str) -> Callable[[ActivityEntry], bool]:
        return compile_filter(text, event_fields(lambda: self._session.now, zone=None))

    def apply_filter(self, text: str) -> None:
        """Filter what is loaded at once; the server is asked for the rest when the typing pauses."""
        super().apply_filter("")
        if error := self._why_not_filter(text):
            self.filter_error = error
            return
        self._test = self.compile(text) if text else None
        self._matching = None
        if self.is_mounted:
            marked = len(self.table.marks)
            self.refresh_data()
            if hidden := marked - len(self.table.marks):
                self.post_message(self.Unmarked(hidden))
            if text:
                once(self, _PAUSE_S, lambda: self._search(text))

    def _why_not_filter(self, text: str) -> str:
        try:
            self.compile(text)
        except ValueError as e:
            return str(e)
        return ""

    def _search(self, text: str) -> None:
        """Ask the server for the events that match, unless everything is here or the filter is another one by now."""
        if text != self.filter.text or self._matching is not None or self._log.complete:
            return
        q = f"{self._base} {with_moments(text, self._session.now)}"
        if len(q) <= MAX_LENGTH:
            self._matching = EventLog(self._session.store, self._read, q)
            self.refresh_data()

    # -- folding ---------------------------------------------------------------------------------------------------

    def open_itself(self, entry: ActivityEntry) -> bool:
        """Whether `enter` on this row is the list's own: it folds or unfolds a day or a group, or loads again."""
        if entry.line and entry.id.startswith("day "):
            self._folded_days ^= {entry.id}
        elif entry.folded:
            members = {member.id for member in entry.folded}
            self._open = self._open - members if self._open & members else self._open | members
        elif entry.id == MORE:
            self._current.retry()
        self.refresh_data()
        return bool(entry.folded or entry.line)

    def fold(self) -> bool:
        """Fold the open group that the cursor is in; False if it is in none."""
        row = self.table.row
        ids = {member.id for member in row.folded} | {row.id} if row and not row.line else set()
        heads = (head for head in self.table.rows if not head.line)
        group = next((head for head in heads if ids & {member.id for member in head.folded}), None)
        if group is None or not self._open & {member.id for member in group.folded}:
            return False
        self.open_itself(group)
        self.table.select(group.id)
        return True

    def restore_cursor(self, before: Self) -> None:
        """A cursor that was on the newest row stays on the newest row."""
        self._log, self._open, self._folded_days = before._log, before._open, before._folded_days
        self.table.sort_by(before.table.sort_key, before.table.descending)
        row = before.table.row
        if row is not None and row is not before._first:
            self._placed = True
            self.table.restore_from(before.table)

    def hint(self) -> Sequence[Piece]:
        """More about the entry under the cursor than its row shows."""
        entry = self.table.row
        if entry is not None and entry.id == MORE:
            return [Piece(entry.line, "quiet")]
        if entry is not None and entry.id.startswith("day "):
            return [Piece(f"enter {'unfolds' if entry.folded else 'folds'} this day", "quiet")]
        if entry is None or entry.line:
            if self.table.rows or not self._log.loaded:
                return ()
            return [Piece("no entry matches the filter" if self.filter.text else self._nothing, "quiet")]
        if entry.folded:
            by = f" by {entry.actor}" if entry.actor else ""
            return [Piece(f"{entry.what}{by}", entry.tone), Piece("  enter lists them", "quiet")]
        return [Piece(f"{entry.target}: {entry.what}", entry.tone), Piece(f"  {entry.detail}", "plain")]


def marks_of(entry: ActivityEntry) -> tuple[str, ...]:
    """The ids of the entries that a mark on a row marks: those of a group, folded or not, and those of a folded day."""
    if entry.line and not entry.folded:
        return ()
    return tuple(member.id for member in entry.folded) or (entry.id,)
