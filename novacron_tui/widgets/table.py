"""A table for tens of thousands of rows: it draws the lines that are in the window, and of those only the changed.

Cursor and marks belong to identities, not to positions, so they stay on their row while data moves. The order is
stable: rows equal in the sorted column keep the order they were given in.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from novacron_tui.widgets.cells import Column, widths
from novacron_tui.widgets.cursor_keys import moves
from novacron_tui.widgets.rows import Rows
from novacron_tui.widgets.table_style import CSS, MARGIN, PARTS, TableLine, TableStyle

R = TypeVar("R")


class Table(ScrollView, Generic[R], can_focus=True):
    """Rows of one kind under columns. Line 0 is the header."""

    ALLOW_SELECT = False
    DEFAULT_CSS = CSS
    COMPONENT_CLASSES: ClassVar[set[str]] = PARTS
    BINDINGS: ClassVar[list[BindingType]] = [
        *moves(up="move(-1)", down="move(1)", page_up="page(-1)", page_down="page(1)", home="edge(-1)", end="edge(1)"),
        Binding("enter,l,right", "open", show=False),
    ]

    class Opened(Message):
        """Enter or a double click on the row under the cursor."""

    class Moved(Message):
        """The cursor is on another row, or the row under it changed."""

    def __init__(
        self,
        columns: Sequence[Column[R]],
        identity: Callable[[R], Hashable],
        *,
        signs: tuple[str, str, str, str] = ("▌", "▴", "▾", "…"),
        sort: str = "",
        id: str | None = None,
    ) -> None:
        super().__init__(id=id)
        self.columns = list(columns)
        self.sort_key, self.descending = sort or self.columns[0].key, False
        self._rows: Rows[R] = Rows(identity)
        self._rows.order(self._sort(), descending=False)
        self._look = TableStyle(self.get_component_rich_style, signs)
        self._layout: list[tuple[Column[R], int]] = []
        self._painted: dict[int, tuple[TableLine, Strip]] = {}

    def show(self, rows: Sequence[R]) -> None:
        """Show these rows in the chosen order; cursor and marks stay with their rows, and the view does not jump."""
        before = self._rows.at - self.scroll_offset.y
        self._rows.give(rows)
        self._shown_anew(before)

    def only(self, keep: Callable[[R], bool] | None) -> None:
        """Show only the rows that pass, in the same order; None shows all. The cursor stays with its row if it passes."""
        before = self._rows.at - self.scroll_offset.y
        self._rows.only(keep)
        self._shown_anew(before)

    def _shown_anew(self, before: int) -> None:
        rows = self.rows
        self._set_height(len(rows) + 1)
        if rows and before >= 0 and self.max_scroll_y > 0:
            self.scroll_to(y=max(0, self._rows.at - before), animate=False, immediate=True)
        self._into_view()
        self.repaint()

    def _set_height(self, height: int) -> None:
        """Another number of lines. The whole screen is laid out anew only when the scrollbar comes or goes: a filter
        that is typed changes the number at every key."""
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
    def rows(self) -> Sequence[R]:
        """The rows in the order shown."""
        return self._rows.shown

    @property
    def marks(self) -> set[Hashable]:
        """The identities of the marked rows."""
        return self._rows.marks

    def set_columns(self, columns: Sequence[Column[R]]) -> None:
        """Show other columns."""
        self.columns = list(columns)
        self._rows.order(self._sort(), descending=self.descending)
        self._lay_out()
        self.refresh()

    def sort_by(self, key: str, descending: bool | None = None) -> None:
        """Sort by a column; the same one again turns the order round."""
        turned = not self.descending if key == self.sort_key else False
        self.sort_key, self.descending = key, turned if descending is None else descending
        self._rows.order(self._sort(), descending=self.descending)
        self._into_view()
        self.refresh()

    def sort_next(self) -> None:
        """Sort by the next column that is shown; none is before the table had rows, and so a size."""
        keys = [column.key for column, _ in self._layout if column.sort]
        if not keys:
            return
        at = keys.index(self.sort_key) if self.sort_key in keys else -1
        self.sort_by(keys[(at + 1) % len(keys)], descending=False)

    def repaint(self) -> None:
        """Paint again the lines of the window whose text, cursor or mark is no longer what was painted."""
        if not self.is_mounted or not self.size:
            return
        top = self.scroll_offset.y
        for y in range(1, self.size.height):
            held = self._painted.get(y)
            if held is None or held[0] != self._line(top + y - 1):
                self._refresh_row(top + y - 1)

    def toggle_mark(self) -> None:
        """Mark the row under the cursor, or take its mark away, and go on to the next."""
        self._rows.toggle_mark()
        self.repaint()
        self.action_move(1)

    def mark_all(self) -> None:
        """Mark all rows; when all are marked, none."""
        self._rows.toggle_all()
        self.repaint()

    def unmark(self) -> None:
        """Take all marks away."""
        self._rows.unmark()
        self.repaint()

    def marked(self) -> list[R]:
        """The marked rows in the order shown; the same list as long as nothing changed."""
        return self._rows.marked()

    def _sort(self) -> Callable[[R], Any] | None:
        return next((column.sort for column in self.columns if column.key == self.sort_key), None)

    def want(self, identity: Hashable) -> None:
        """Put the cursor on this row as soon as it is there, unless it is moved before that."""
        self._rows.want(identity)
        self._into_view()
        self.repaint()

    def go_on_from(self, before: Table[R]) -> None:
        """The order of another table with these columns, and the cursor on its row, also if that comes later."""
        self.sort_by(before.sort_key, before.descending)
        if before.row is not None:
            self.want(before._rows.identity(before.row))

    def move_to(self, index: int) -> None:
        """Put the cursor on a row; only the two lines that change are painted when the view need not scroll."""
        old = self._rows.at
        if not self._rows.move(index):
            return
        self._refresh_row(old)
        self._refresh_row(self._rows.at)
        self._into_view()
        self.post_message(self.Moved())

    def _refresh_row(self, index: int) -> None:
        # Textual paints whole segments that touch the region, and one past its end: one cell less spares the scrollbar.
        self.refresh(Region(0, index + 1 - self.scroll_offset.y, max(1, self.size.width - 1), 1))

    def _into_view(self) -> None:
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
            if left <= x < left + width + 1 and column.sort:
                self.sort_by(column.key)
                return
            left += width + 2

    def on_resize(self) -> None:
        self._lay_out()
        self._into_view()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._look.forget()
        self._painted.clear()

    def _lay_out(self) -> None:
        self._layout = widths(self.columns, self.size.width - MARGIN - 1)
        self._painted.clear()
        self._set_height(len(self.rows) + 1)

    def render_line(self, y: int) -> Strip:
        if y == 0:
            return self._look.header(self._layout, self.size.width, sort_key=self.sort_key, descending=self.descending)
        line = self._line(self.scroll_offset.y + y - 1)
        held = self._painted.get(y)
        if held is not None and held[0] == line:
            return held[1]
        strip = self._look.line(line, self._layout, self.size.width)
        self._painted[y] = (line, strip)
        return strip

    def _line(self, index: int) -> TableLine:
        if not 0 <= index < len(self.rows):
            return TableLine((), False, False)
        row = self.rows[index]
        cells = tuple(column.cell(row) for column, _ in self._layout)
        return TableLine(cells, index == self._rows.at, self._rows.is_marked(row))
