"""A table for tens of thousands of rows: it draws only visible lines that have changed.

Cursor and marks are bound to identities, so they stay on their row while data changes. Sorting is stable.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from novacron_tui.widgets.cells import Cell, Column, widths
from novacron_tui.widgets.cursor_keys import cursor_bindings
from novacron_tui.widgets.rows import Rows
from novacron_tui.widgets.table_style import CSS, MARGIN, PARTS, TableLine, TableStyle

R = TypeVar("R")
_KEPT_STRIPS = 512
"""A few screens of lines."""


class Table(ScrollView, Generic[R], can_focus=True):
    """A table with columns. Line 0 is the header."""

    ALLOW_SELECT = False
    DEFAULT_CSS = CSS
    COMPONENT_CLASSES: ClassVar[set[str]] = PARTS
    BINDINGS: ClassVar[list[BindingType]] = [
        *cursor_bindings(
            up="move(-1)", down="move(1)", page_up="page(-1)", page_down="page(1)", home="edge(-1)", end="edge(1)"
        ),
        Binding("enter,l,right", "open", show=False),
    ]

    class Opened(Message):
        """Enter or a double click on a row."""

    class Moved(Message):
        """The cursor has moved to another row."""

    class Sorted(Message):
        """The order was changed."""

    def __init__(
        self,
        columns: Sequence[Column[R]],
        identity: Callable[[R], Hashable],
        *,
        signs: tuple[str, str, str, str] = ("▌", "▴", "▾", "…"),
        sort: str = "",
        across: Callable[[R], Cell | None] = lambda _: None,
        marks_of: Callable[[R], Sequence[Hashable]] | None = None,
        id: str | None = None,
    ) -> None:
        """`sort` is the key of the first order; if no column sorts by it, that of the rows as they are given.
        `across` returns the one cell of a row that is no thing, like the head of a day; None for every other row.
        `marks_of`: see Rows."""
        super().__init__(id=id)
        self._across = across
        self.columns = list(columns)
        self._first_sort = sort or self.columns[0].key
        self.sort_key, self.descending = self._first_sort, self._begins_descending(self._first_sort)
        self._faded = False
        self._rows: Rows[R] = Rows(identity, marks_of)
        self._rows.order(self._sort(), descending=self.descending)
        self._table_style = TableStyle(self.get_component_rich_style, signs)
        self._layout: list[tuple[Column[R], int]] = []
        self._painted: dict[int, TableLine] = {}
        self._strips: dict[TableLine, Strip] = {}
        """Of lines painted lately: when the list scrolls by one row, all but one of its lines are among them."""

    def show(self, rows: Sequence[R]) -> None:
        """Replace the rows; cursor and marks stay on their rows, and the view does not jump."""
        before = self._rows.at - self.scroll_offset.y
        self._rows.set_rows(rows)
        self._rows_changed(before)

    def hold(self, held: bool) -> None:
        """Keep the order of the rows from now on, whatever their values, or sort them by their values again."""
        if held == self._rows.held:
            return
        self._rows.held = held
        if not held and self._rows.out_of_order:
            self.show(self._rows.unsorted)

    def fade(self, faded: bool) -> None:
        """Draw the rows quietly from now on, because what they say is old; what is wrong stays red."""
        if faded != self._faded:
            self._faded = faded
            self.repaint()

    def has_sorted(self, rows: Sequence[R]) -> bool:
        """Whether these rows, the same list object, are the ones that it shows."""
        return rows is self._rows.unsorted

    @property
    def out_of_order(self) -> bool:
        """Whether the rows are held in an order that is not that of their values."""
        return self._rows.out_of_order

    def set_filter(self, keep: Callable[[R], bool] | None) -> None:
        """Show only the rows that match; None shows all. The cursor stays on its row if it matches."""
        before = self._rows.at - self.scroll_offset.y
        self._rows.set_filter(keep)
        self._rows_changed(before)

    def _rows_changed(self, before: int) -> None:
        rows = self.rows
        self._set_height(len(rows) + 1)
        if rows and before >= 0 and self.max_scroll_y > 0:
            self.scroll_to(y=max(0, self._rows.at - before), animate=False, immediate=True)
        self._scroll_to_cursor()
        self.repaint()

    def _set_height(self, height: int) -> None:
        """Change the number of lines. A layout of the whole screen is done only when the scrollbar appears or
        disappears, since typing a filter changes the number at every key."""
        size, before = Size(self.size.width, height), self.virtual_size
        if size == before:
            return
        if size.width != before.width or (height > self.container_size.height) != self.show_vertical_scrollbar:
            self.virtual_size = size
            return
        self.set_reactive(Table.virtual_size, size)
        self._scroll_update(size)
        self.scroll_y = self.validate_scroll_y(self.scroll_y)

    @property
    def row(self) -> R | None:
        """The row under the cursor."""
        return self._rows.current

    @property
    def cursor_identity(self) -> Hashable:
        """The identity of the row under the cursor; None without rows."""
        return None if self.row is None else self._rows.identity(self.row)

    @property
    def cursor_at(self) -> int:
        """The index of the row under the cursor."""
        return self._rows.at

    @property
    def rows(self) -> Sequence[R]:
        """The rows in screen order."""
        return self._rows.shown

    @property
    def marks(self) -> set[Hashable]:
        """The identities of the marked rows."""
        return self._rows.marks

    def set_columns(self, columns: Sequence[Column[R]]) -> None:
        """Replace the columns."""
        self.columns = list(columns)
        self._rows.order(self._sort(), descending=self.descending)
        self._lay_out()
        self.refresh()

    def sort_by(self, key: str, descending: bool | None = None) -> None:
        """Sort by a column, and show its first row; sorting by the same column again reverses the order."""
        if descending is None:
            descending = not self.descending if key == self.sort_key else self._begins_descending(key)
        self.sort_key, self.descending = key, descending
        self._rows.order(self._sort(), descending=descending)
        self.refresh()
        if self._rows.move(0):
            self.post_message(self.Moved())
        self._scroll_to_cursor()
        if self.is_mounted:
            self.post_message(self.Sorted())

    def sorts_by(self, key: str) -> bool:
        """Whether it has such an order."""
        return self._sort_of(key) is not None or key == self._first_sort

    @property
    def may_reverse(self) -> bool:
        """Whether the rows are sorted by a column, and not as they are given."""
        return self._sort() is not None

    def _begins_descending(self, key: str) -> bool:
        return any(column.largest_first for column in self.columns if column.key == key)

    def sort_next(self) -> None:
        """Sort by the next visible column, if any: before its first layout the table has none. The first order is one of
        them, also where it is that of the rows as they are given."""
        keys = [column.key for column, _ in self._layout if column.sort]
        if not keys:
            return
        if self._sort_of(self._first_sort) is None:
            keys.insert(0, self._first_sort)
        at = keys.index(self.sort_key) if self.sort_key in keys else -1
        key = keys[(at + 1) % len(keys)]
        self.sort_by(key, self._begins_descending(key))

    def repaint(self) -> None:
        """Repaint the visible lines whose text, cursor or mark has changed."""
        if not self.is_mounted or not self.size:
            return
        top = self.scroll_offset.y
        for y in range(1, self.size.height):
            if self._painted.get(y) != self._line(top + y - 1):
                self._refresh_row(top + y - 1)

    def toggle_mark(self) -> None:
        """Mark or unmark the row under the cursor, and move to the next row that can be marked."""
        self._rows.toggle_mark()
        self.repaint()
        self.move_to(self._rows.next_markable)

    @property
    def may_mark(self) -> bool:
        """Whether the row under the cursor can be marked."""
        return self._rows.may_mark

    def mark_all(self) -> None:
        """Mark all rows, or unmark them if all are marked."""
        self._rows.toggle_all()
        self.repaint()

    def unmark(self, identities: Collection[Hashable] | None = None) -> None:
        """Remove the marks of these rows, or all."""
        self._rows.unmark(identities)
        self.repaint()

    def marked(self) -> list[R]:
        """The marked rows in screen order; the same list object while nothing changes."""
        return self._rows.marked()

    def _sort(self) -> Callable[[R], Any] | None:
        return self._sort_of(self.sort_key)

    def _sort_of(self, key: str) -> Callable[[R], Any] | None:
        return next((column.sort for column in self.columns if column.key == key), None)

    def select(self, identity: Hashable) -> None:
        """Put the cursor on this row as soon as it appears, unless the cursor is moved before that."""
        self._rows.select(identity)
        self._scroll_to_cursor()
        self.repaint()

    def restore_from(self, before: Table[R]) -> None:
        """Take over the order and the cursor of another table with the same columns."""
        self.sort_by(before.sort_key, before.descending)
        if before.row is not None:
            self.select(before._rows.identity(before.row))

    def move_to(self, index: int) -> None:
        """Move the cursor to an index; without scrolling only two lines are painted."""
        old = self._rows.at
        if not self._rows.move(index):
            return
        self._refresh_row(old)
        self._refresh_row(self._rows.at)
        self._scroll_to_cursor()
        self.post_message(self.Moved())

    def _refresh_row(self, index: int) -> None:
        # Textual paints all segments that touch the region, and one past its end: one cell less excludes the scrollbar.
        self.refresh(Region(0, index + 1 - self.scroll_offset.y, max(1, self.size.width - 1), 1))

    def _scroll_to_cursor(self) -> None:
        top, room = self.scroll_offset.y, max(1, self.size.height - 1)
        if self._rows.at < top:
            self.scroll_to(y=self._rows.at, animate=False, immediate=True)
        elif self._rows.at >= top + room:
            self.scroll_to(y=self._rows.at - room + 1, animate=False, immediate=True)

    def action_move(self, by: int) -> None:
        self.move_to(self._rows.at + by)

    def action_page(self, by: int) -> None:
        self.move_to(self._rows.at + by * max(1, self.size.height - 2))

    def action_edge(self, end: int) -> None:
        self.move_to(0 if end < 0 else len(self.rows) - 1)

    def action_open(self) -> None:
        if self.rows:
            self.post_message(self.Opened())

    def on_click(self, event: events.Click) -> None:
        if event.y == 0:
            self._click_header(event.x)
            return
        index = self.scroll_offset.y + event.y - 1
        if index < len(self.rows):
            self.move_to(index)
            if event.chain == 2:
                self.action_open()

    def _click_header(self, x: int) -> None:
        left = MARGIN
        for column, width in self._layout:
            if left <= x < left + width + 1 and (column.sort or column.key == self._first_sort):
                self.sort_by(column.key)
                return
            left += width + 2

    def on_resize(self) -> None:
        self._lay_out()
        self._scroll_to_cursor()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._table_style.clear_cache()
        self._forget_lines()

    def _lay_out(self) -> None:
        self._layout = widths(self.columns, self.size.width - MARGIN - 1)
        self._forget_lines()
        self._set_height(len(self.rows) + 1)

    def _forget_lines(self) -> None:
        self._painted.clear()
        self._strips.clear()

    def render_line(self, y: int) -> Strip:
        if y == 0:
            return self._table_style.header(
                self._layout, self.size.width, sort_key=self.sort_key, descending=self.descending
            )
        line = self._line(self.scroll_offset.y + y - 1)
        self._painted[y] = line
        strip = self._strips.get(line)
        if strip is None:
            if len(self._strips) > _KEPT_STRIPS:
                self._strips.clear()
            strip = self._strips[line] = self._table_style.line(line, self._layout, self.size.width)
        return strip

    def _line(self, index: int) -> TableLine:
        if not 0 <= index < len(self.rows):
            return TableLine((), False, False)
        row = self.rows[index]
        if (across := self._across(row)) is not None:
            return TableLine(
                (across,), index == self._rows.at, self._rows.is_marked(row), across=True, faded=self._faded
            )
        cells = tuple(column.cell(row) for column, _ in self._layout)
        return TableLine(cells, index == self._rows.at, self._rows.is_marked(row), faded=self._faded)
