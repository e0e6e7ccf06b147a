"""A list: a table, its `/` filter line, and a placeholder while there is nothing to list."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Generic, Self, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Static

from novacron_core.rules.filters.language import FilterError
from novacron_tui.widgets.filter_line import FilterLine
from novacron_tui.widgets.table import Table
from novacron_tui.widgets.text_bar import Piece, content

R = TypeVar("R")
Test = Callable[[R], bool]


class ListPane(Vertical, Generic[R]):
    """The owner calls `refresh_data` whenever data or the clock has changed; only changes are painted.

    A subclass overrides `version`, `rows`, `total`, `compile` and `placeholder`.
    """

    DEFAULT_CSS = """
    ListPane { height: 1fr; }
    ListPane > .placeholder { height: 1fr; content-align: center middle; text-align: center; padding: 0 2; display: none; }
    """
    NOUN = "row"
    EXAMPLE = "name"
    """What the empty filter line shows."""

    KEEPS_FILTER = False
    """Whether the filter is part of how one has arranged the console, and not a question of the moment."""

    class Filtered(Message):
        """The filter was changed or closed."""

    class Unmarked(Message):
        """The filter hides so many marked rows, which are not marked any more: no action applies to what is not seen."""

        def __init__(self, count: int) -> None:
            super().__init__()
            self.count = count

    def __init__(self, table: Table[R], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.table = table
        self.filter = FilterLine(id="filter")
        self.filter_error = ""
        self._static = Static(classes="placeholder")
        self._placeholder: tuple[Piece, ...] = ()
        self._seen: Hashable = None
        self._return_to: Hashable = None

    def compose(self) -> ComposeResult:
        yield self.table
        yield self._static
        yield self.filter

    # -- for subclasses --------------------------------------------------------------------------------------------

    def version(self) -> Hashable:
        """Changes whenever `rows` may differ."""
        raise NotImplementedError

    def rows(self) -> Sequence[R]:
        """All rows, unfiltered."""
        raise NotImplementedError

    def total(self) -> int:
        """How many rows there are without the filter."""
        raise NotImplementedError

    def compile(self, text: str) -> Test[R]:
        """The test of a filter text. Raises FilterError."""
        raise NotImplementedError

    def placeholder(self) -> Sequence[Piece]:
        """What to show instead of an empty list, with the next step; empty shows the table."""
        return ()

    # -- drawing ---------------------------------------------------------------------------------------------------

    def refresh_data(self) -> None:
        """Show the current rows."""
        if (version := self.version()) != self._seen:
            self._seen = version
            self.table.show(self.rows())
        else:
            self.table.repaint()
        self.refresh_state()

    def refresh_state(self) -> None:
        """Update the placeholder and the number of matches."""
        self._show_placeholder(tuple(self._placeholder_pieces()))
        if self.filter_error:
            self.filter.show_note("invalid filter", "bad")
        else:
            self.filter.show_note(f"{len(self.table.rows):,} of {self.total():,}")

    def _placeholder_pieces(self) -> Sequence[Piece]:
        if self.table.rows or not (self.filter.text and self.total()):
            return self.placeholder()
        return [
            Piece(f"no {self.NOUN} matches the filter\n\n", "strong"),
            Piece("esc", "key"),
            Piece(" clears the filter", "quiet"),
        ]

    def _show_placeholder(self, pieces: tuple[Piece, ...]) -> None:
        if pieces == self._placeholder and self._static.display == bool(pieces):
            return
        self._placeholder = pieces
        self._static.update(content(pieces))
        self._static.display = bool(pieces)
        self.table.display = not pieces
        if not pieces and not self.filter.editing:
            self.table.focus()

    @property
    def is_empty(self) -> bool:
        """Whether the placeholder is shown in the table's place."""
        return self._static.display

    def focus_list(self) -> None:
        """Focus the table; while it is hidden, focus nothing, so that keys reach the screen."""
        if self.table.display:
            self.table.focus()
        else:
            self.screen.set_focus(None)

    # -- the filter ------------------------------------------------------------------------------------------------

    def open_filter(self) -> None:
        """Open the filter line; when the filter is cleared, the cursor returns to its row."""
        self._return_to = self.table.cursor_identity
        self.filter.open(self.EXAMPLE)

    def restore_from(self, before: Self) -> None:
        """Take over order, cursor and filter of the pane that was shown before."""
        self.restore_cursor(before)
        self.filter.restore_from(before.filter)
        self.apply_filter(self.filter.text)

    def begin_as_left(self, sort: str, filter: str, *, descending: bool) -> None:
        """Take over the order and filter of an earlier console, as far as this list knows them."""
        if self.table.sorts_by(sort):
            self.table.sort_by(sort, descending)
        if filter and self.KEEPS_FILTER:
            self.filter.begin_with(filter)
            self.apply_filter(filter)
            if self.filter_error:
                self.filter.begin_with("")
                self.filter_error = ""

    def restore_cursor(self, before: Self) -> None:
        """Take over order and cursor."""
        self.table.restore_from(before.table)

    def apply_filter(self, text: str) -> None:
        """Filter the table. An invalid filter leaves the list as it is until it is valid."""
        try:
            test = self.compile(text)
        except FilterError as e:
            self.filter_error = str(e)
        else:
            self.filter_error = ""
            marked = len(self.table.marks)
            self.table.set_filter(test if text else None)
            if hidden := marked - len(self.table.marks):
                self.post_message(self.Unmarked(hidden))

    @on(Table.Sorted)
    def _sorted(self) -> None:
        """Show the rows in the new order at once: which there are may depend on it. Those that the table has just sorted
        are not sorted once more."""
        if self.table.has_sorted(self.rows()):
            self._seen = self.version()
            self.refresh_state()
        else:
            self.refresh_data()

    @on(FilterLine.Changed)
    def _filter_changed(self, event: FilterLine.Changed) -> None:
        event.stop()
        self.apply_filter(event.text)
        self.refresh_state()
        self.post_message(self.Filtered())

    @on(FilterLine.Closed)
    def _filter_closed(self, event: FilterLine.Closed) -> None:
        event.stop()
        if not event.kept and self._return_to is not None:
            self.table.select(self._return_to)
        self._return_to = None  # with a kept filter the cursor stays where it is
        self.focus_list()
        self.post_message(self.Filtered())
