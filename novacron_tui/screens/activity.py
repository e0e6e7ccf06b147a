"""Activity: what is being done, what was done and by whom, why it failed, and what happened, live."""

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
from novacron_tui.operations.entries import FIELDS, ActivityEntry, entries, in_full, why_not_cancel
from novacron_tui.screens.base import BaseScreen
from novacron_tui.screens.filter_keys import TYPING, do_typing
from novacron_tui.screens.global_actions import ACTIVITY, EVERYWHERE, bindings
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.widgets.detail import Detail
from novacron_tui.widgets.filter_line import FilterLine
from novacron_tui.widgets.table import Table
from novacron_tui.widgets.text_bar import Piece

READ = Action[ActivityEntry](
    "read", "enter", "read", "Everything about it, the whole reason too.", group="Activity", opens=True
)
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
BACK = Action[ActivityEntry]("back", "escape", "back", "Back; nothing is lost.", needs_one=False, group="Activity")


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
        self._wrong = ""
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
        self._tell_through()

    def go_on_from(self, before: Self) -> None:
        rows, row = before.table.rows, before.table.row
        if row is not None and row is not rows[0]:
            self.table.go_on_from(before.table)
        else:
            self.table.move_to(0)  # who was at the newest is there again
        self.filter.go_on_from(before.filter)
        self._sift(self.filter.text)

    def hint(self) -> Sequence[Piece]:
        if self._wrong:
            return [Piece(f"{self.glyphs.bad} {self._wrong}", "bad")]
        entry = self.table.row
        if entry is None:
            return [Piece("nothing passes the filter" if self.filter.text else "nothing was done yet", "quiet")]
        return [Piece(f"{entry.target}: {entry.what}", entry.tone), Piece(f"  {entry.detail}", "plain")]

    def _offered(self) -> list[Action[Any]]:
        return list(TYPING) if self.filter.editing else super()._offered()

    async def do(self, action: Action[Any]) -> None:
        if do_typing(action, self.filter):
            pass
        elif action is READ:
            self._read()
        elif action is CANCEL:
            await self._cancel()
        elif action is FILTER:
            self.hush()
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
            self.say(f"{entry.target}: cancelling accepted", "busy")

    @on(Table.Moved)
    def _moved(self) -> None:
        self.refresh_frame()

    @on(Table.Opened)
    def _read(self) -> None:
        if (entry := self.table.row) is not None:
            self.app.push_screen(Detail(f"{entry.target}: {entry.what}", in_full(entry, self.session.now)))

    @on(FilterLine.Changed)
    def _filter(self, event: FilterLine.Changed) -> None:
        self._sift(event.text)
        self._tell_through()
        self.refresh_frame()

    def _sift(self, text: str) -> None:
        try:
            test = compile_filter(text, FIELDS)
        except FilterError as e:
            self._wrong = str(e)
        else:
            self._wrong = ""
            self.table.only(test if text else None)

    @on(FilterLine.Closed)
    def _typing_over(self) -> None:
        self.table.focus()

    def _tell_through(self) -> None:
        if self._wrong:
            self.filter.tell("not understood", "bad")
        else:
            self.filter.tell(f"{len(self.table.rows):,} of {self._total:,}")
