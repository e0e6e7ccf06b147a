"""Activity: running and past operations with their reasons, and events, live."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

from textual import on
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widget import Widget

from novacron_core.api import operations
from novacron_core.errors import NovaCronError
from novacron_core.rules.filters.language import FilterError, compile_filter
from novacron_tui.actions import Action, Danger, refusal
from novacron_tui.connection.session import Session
from novacron_tui.operations.columns import columns
from novacron_tui.operations.entries import FIELDS, ActivityEntry, detail_lines, entries, why_not_cancel
from novacron_tui.screens.base import BaseScreen
from novacron_tui.screens.filter_keys import FILTER_KEYS, run_filter_key
from novacron_tui.screens.global_actions import ACTIVITY, EVERYWHERE, bindings
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.widgets.detail import Detail
from novacron_tui.widgets.filter_line import FilterLine
from novacron_tui.widgets.table import Table
from novacron_tui.widgets.text_bar import Piece

READ = Action[ActivityEntry]("read", "enter", "read", "Show details and the full reason.", group="Activity", opens=True)
CANCEL = Action[ActivityEntry](
    "cancel",
    "C",
    "cancel",
    "Cancel the operation.",
    endpoint=operations.CANCEL,
    why_not=why_not_cancel,
    danger=Danger.REVERSIBLE,
    group="Activity",
)
FILTER = Action[ActivityEntry](
    "filter", "/", "filter", "Filter as you type: plain words, state:failed, by:ada, target:web-*, -not.",
    needs_one=False, group="Activity", opens=True,
)  # fmt: skip
BACK = Action[ActivityEntry]("back", "escape", "back", "Go back.", needs_one=False, group="Activity")


class ActivityScreen(BaseScreen):
    """Operations and events in one table."""

    ACTIONS: ClassVar[tuple[Action[Any], ...]] = (READ, CANCEL, FILTER, BACK, *EVERYWHERE)
    BINDINGS: ClassVar[list[BindingType]] = bindings(ACTIONS)
    HERE = ACTIVITY

    def __init__(self, session: Session, glyphs: Glyphs) -> None:
        super().__init__(session, glyphs)
        signs = (glyphs.mark, glyphs.up, glyphs.down, glyphs.cut)
        self.table: Table[ActivityEntry] = Table(
            columns(glyphs, lambda: session.now), lambda entry: entry.id, signs=signs, sort="given", id="activity"
        )
        self.filter = FilterLine(id="filter")
        self._filter_error = ""
        self._seen = -1
        self._total = 0

    def body(self) -> Widget:
        return Vertical(self.table, self.filter)

    def on_mount(self) -> None:
        self.table.focus()
        self.refresh_body()

    def subject(self) -> ActivityEntry | None:
        return self.table.row

    def why_not(self, action: Action[Any]) -> str | None:
        return refusal(action, self.session, self.subject())

    def refresh_body(self) -> None:
        store = self.session.store
        if store.version != self._seen:
            self._seen = store.version
            shown = entries(store)
            self._total = len(shown)
            self.table.show(shown)
        else:
            self.table.repaint()
        self._show_count()

    def restore_from(self, before: Self) -> None:
        rows, row = before.table.rows, before.table.row
        if row is not None and row is not rows[0]:
            self.table.restore_from(before.table)
        else:
            self.table.move_to(0)  # the cursor was on the newest row: keep it there
        self.filter.restore_from(before.filter)
        self._apply_filter(self.filter.text)

    def hint(self) -> Sequence[Piece]:
        if self._filter_error:
            return [Piece(f"{self.glyphs.bad} {self._filter_error}", "bad")]
        entry = self.table.row
        if entry is None:
            return [Piece("no entry matches the filter" if self.filter.text else "no operations yet", "quiet")]
        return [Piece(f"{entry.target}: {entry.what}", entry.tone), Piece(f"  {entry.detail}", "plain")]

    def _offered(self) -> list[Action[Any]]:
        return list(FILTER_KEYS) if self.filter.editing else super()._offered()

    async def do(self, action: Action[Any]) -> None:
        if run_filter_key(action, self.filter):
            pass
        elif action is READ:
            self._read()
        elif action is CANCEL:
            await self._cancel()
        elif action is FILTER:
            self.clear_message()
            self.filter.open("plain words, or state:failed by:ada target:web-*")
        elif action is BACK:
            self._back()

    def _back(self) -> None:
        if self.filter.text:
            self.filter.action_clear()
        else:
            self.dismiss()

    async def _cancel(self) -> None:
        entry = self.table.row
        if entry is None or entry.op is None:
            return
        try:
            await self.session.client.call(operations.CANCEL, operation_id=entry.op.id)
        except NovaCronError as e:
            self.say(f"cancel {entry.target}: {one_line(e.detail)}", "bad")
        else:
            self.say(f"Cancelling the operation on {entry.target}…", "busy")

    @on(Table.Moved)
    def _moved(self) -> None:
        self.refresh_frame()

    @on(Table.Opened)
    def _read(self) -> None:
        if (entry := self.table.row) is not None:
            self.app.push_screen(Detail(f"{entry.target}: {entry.what}", detail_lines(entry, self.session.now)))

    @on(FilterLine.Changed)
    def _filter(self, event: FilterLine.Changed) -> None:
        self._apply_filter(event.text)
        self._show_count()
        self.refresh_frame()

    def _apply_filter(self, text: str) -> None:
        try:
            test = compile_filter(text, FIELDS)
        except FilterError as e:
            self._filter_error = str(e)
        else:
            self._filter_error = ""
            self.table.set_filter(test if text else None)

    @on(FilterLine.Closed)
    def _filter_closed(self) -> None:
        self.table.focus()

    def _show_count(self) -> None:
        if self._filter_error:
            self.filter.show_note("invalid filter", "bad")
        else:
            self.filter.show_note(f"{len(self.table.rows):,} of {self._total:,}")
