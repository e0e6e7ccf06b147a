"""A screen with a list: filter, sort, marks and the way back work the same for every noun."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Any, ClassVar, Self

from textual import on

from novacron_core.values.counts import counted
from novacron_tui.actions import Action, refusal
from novacron_tui.connection.store import ConnectionState
from novacron_tui.screens.base import BaseScreen
from novacron_tui.servers.arrangement import ListLook
from novacron_tui.widgets.filter_line import FilterLine
from novacron_tui.widgets.list_pane import ListPane
from novacron_tui.widgets.table import Table
from novacron_tui.widgets.text_bar import Piece

HOLD_ORDER_S = 3.0
"""Seconds after a key or a click in which the rows of a list stay in their places."""
SORT = Action[Any](
    "sort", "o", "sort", "Sort by the next column; click a header to sort by it.",
    needs_one=False, group="List", only_view=True, run=lambda screen, _: screen.sort_next(),
)  # fmt: skip
REVERSE = Action[Any](
    "turn", "O", "reverse", "Reverse the sort order.", needs_one=False, group="List",
    only_view=True, run=lambda screen, _: screen.reverse_sort(),
)  # fmt: skip
MARK = Action[Any](
    "mark", "space", "mark", "Mark the row; actions apply to all marked rows.", group="List", only_view=True,
    run=lambda screen, _: screen.table.toggle_mark(),
)  # fmt: skip
MARK_ALL = Action[Any](
    "mark-all", "*", "mark all", "Mark or unmark all listed.", group="List", only_view=True,
    run=lambda screen, _: screen.table.mark_all(),
)  # fmt: skip
BACK = Action[Any](
    "back", "escape", "back", "Clear the filter, then the marks, or go back.", needs_one=False, group="List",
    run=lambda screen, _: screen.go_back(),
)  # fmt: skip
FILTER_KEYS = (
    Action[Any](
        "keep", "enter", "keep the filter", "Apply the filter.", needs_one=False,
        run=lambda screen, _: screen.filter.keep(),
    ),
    Action[Any](
        "clear", "escape", "clear it", "Clear the filter.", needs_one=False,
        run=lambda screen, _: screen.filter.action_clear(),
    ),
    Action[Any](
        "earlier", "up", "earlier ones", "Previous filters.", needs_one=False,
        run=lambda screen, _: screen.filter.action_earlier(1),
    ),
)  # fmt: skip
"""The keys that work while a filter is typed."""


def filter_action(help: str) -> Action[Any]:
    """The `/` of a screen; `help` shows the fields of its rows."""
    return Action(
        "filter", "/", "filter", f"Filter as you type: {help}", needs_one=False, group="List", opens=True,
        run=lambda screen, _: screen.open_filter(),
    )  # fmt: skip


def open_action(help: str) -> Action[Any]:
    """The `enter` of a screen."""
    return Action("open", "enter", "open", help, group="List", opens=True, run=lambda screen, _: screen.open_row())


def _name(pane: ListPane[Any]) -> str:
    """What a list is called where its arrangement is kept."""
    return type(pane).__name__


class ListScreen(BaseScreen):
    """A subclass overrides `pane`, and what it needs of `open_row` and `list_hint`."""

    ONE_AT_A_TIME: ClassVar[tuple[Action[Any], ...]] = ()
    """The actions that are refused while several rows are marked."""

    @property
    def pane(self) -> ListPane[Any] | None:
        """The list that is shown now, if any."""
        raise NotImplementedError

    def open_row(self) -> None:
        """Open the row under the cursor."""
        raise NotImplementedError

    def lists(self) -> Sequence[ListPane[Any]]:
        """All lists of the screen, also those that are not shown now."""
        return [self.pane] if self.pane is not None else []

    def list_hint(self) -> Sequence[Piece]:
        """The default text of the status line while the filter is valid."""
        return ()

    # -- the list --------------------------------------------------------------------------------------------------

    @property
    def row(self) -> Any:
        """The row under the cursor, or None."""
        pane = self.pane
        return pane.table.row if pane is not None and pane.table.display else None

    def subject(self, action: Action[Any]) -> Any:
        return self.row

    def first_allowed(self, action: Action[Any], rows: Sequence[Any]) -> Any:
        """Of the rows that an action is for the first that allows it, else the first; None without rows."""
        allowed = (row for row in rows if refusal(action, self.session, row) is None)
        return next(allowed, None) or next(iter(rows), None)

    def refresh_body(self) -> None:
        if self.pane is not None:
            self.pane.table.hold(self._holds_order)
            self.pane.table.fade(self.session.store.connection in (ConnectionState.STALE, ConnectionState.OFFLINE))
            self.pane.refresh_data()

    @property
    def _holds_order(self) -> bool:
        """Whether the rows must not move: eyes and fingers are on one of them, or a question about one is open."""
        touched_at = getattr(self.app, "touched_at", 0.0)
        return self.app.screen is not self or monotonic() - touched_at < HOLD_ORDER_S

    def why_not(self, action: Action[Any]) -> str | None:
        if action in (SORT, REVERSE) and not (self.pane and self.pane.table.rows):
            return "nothing to sort"
        if action is REVERSE and not self.table.may_reverse:
            return "this order cannot be reversed: o sorts by the next column"
        if action is MARK and self.row is not None and not self.table.may_mark:
            return "this line cannot be marked: move to a row above or below"
        marked = len(self.pane.table.marks) if self.pane is not None else 0
        if self.pane is not None and marked > 1 and action in self.ONE_AT_A_TIME:
            return f"{action.label} works on one {self.pane.NOUN}: {marked} are marked, esc unmarks them"
        return super().why_not(action)

    def hint(self) -> Sequence[Piece]:
        if self.pane is not None and self.pane.filter_error:
            return [Piece(f"{self.glyphs.bad} {self.pane.filter_error}", "bad")]
        return self.list_hint()

    def notes(self) -> Sequence[Piece]:
        """That rows stay in their places although their values have changed."""
        held = self.pane is not None and self.pane.table.out_of_order
        return [Piece("order held ", "warn", 1)] if held else ()

    def restore_from(self, before: Self) -> None:
        if self.pane is not None and before.pane is not None:
            self.pane.restore_from(before.pane)

    def begin_as_left(self) -> None:
        looks = self.session.arranged.now.lists
        for pane in self.lists():
            if (look := looks.get(_name(pane))) is not None:
                pane.begin_as_left(look.sort, look.filter, descending=look.descending)
        if self.pane is not None and self.pane.filter.text:
            self.call_after_refresh(self.say, "the list is filtered, as you left it", "warn")

    @on(Table.Sorted)
    @on(ListPane.Filtered)
    def _note_look(self) -> None:
        for pane in self.lists():
            table, kept = pane.table, pane.filter.text if pane.KEEPS_FILTER else ""
            self.session.arranged.note_list(_name(pane), ListLook(table.sort_key, table.descending, kept))

    def _offered(self) -> list[Action[Any]]:
        """While a filter is typed, letters are text: only the keys of the filter line work."""
        if self.pane is not None and self.pane.filter.editing:
            return list(FILTER_KEYS)
        return super()._offered()

    def marked_hint(self, what: str) -> list[Piece]:
        """The status line while rows are marked: how many, and what that is for."""
        pane = self.pane
        marks = len(pane.table.marks) if pane is not None else 0
        if pane is None or not marks:
            return []
        return [Piece(f"{counted(marks, pane.NOUN)} marked: {what}", "accent")]

    # -- what the actions run --------------------------------------------------------------------------------------

    def sort_next(self) -> None:
        """Sort by the next column."""
        if self.pane is not None:
            self.pane.table.sort_next()

    def reverse_sort(self) -> None:
        """Reverse the order."""
        if self.pane is not None:
            self.pane.table.sort_by(self.pane.table.sort_key)

    def open_filter(self) -> None:
        """Type a filter."""
        self.clear_message()
        if self.pane is not None:
            self.pane.open_filter()

    def go_back(self) -> None:
        """Clear the message, and the filter or else the marks; with neither leave the screen."""
        self.clear_message()
        if not self.narrow_back():
            self.leave()

    def narrow_back(self) -> bool:
        """Clear the filter; without one the marks, and say so. Returns whether there was something to clear."""
        pane = self.pane
        if pane is None:
            return False
        if pane.filter.text:
            pane.filter.action_clear()
            return True
        marks = len(pane.table.marks)
        if marks:
            pane.table.unmark()
            self.say(f"unmarked {counted(marks, pane.NOUN)}")
        return bool(marks)

    @property
    def filter(self) -> FilterLine:
        """The filter line of the list that is shown."""
        assert self.pane is not None
        return self.pane.filter

    @property
    def table(self) -> Table[Any]:
        """The table that is shown."""
        assert self.pane is not None
        return self.pane.table

    @on(ListPane.Unmarked)
    def _marks_hidden(self, event: ListPane.Unmarked) -> None:
        if self.pane is not None:
            self.say(f"unmarked {counted(event.count, self.pane.NOUN)} that the filter hides", "warn")

    @on(Table.Opened)
    def _row_opened(self) -> None:
        self.open_row()

    @on(Table.Moved)
    @on(ListPane.Filtered)
    def _list_changed(self) -> None:
        self.refresh_frame()
        self.request_samples()
