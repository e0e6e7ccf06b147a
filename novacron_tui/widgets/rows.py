"""Sorted rows with a cursor and marks, which are bound to identities and so stay on their rows while data changes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from operator import itemgetter
from typing import Any, Generic, TypeVar

R = TypeVar("R")


class Rows(Generic[R]):
    """`shown` are the rows in screen order, `at` is the index of the cursor. Sorting is stable. `pending` is the
    identity of a row that gets the cursor as soon as it appears, unless the cursor is moved before that. While `held`,
    rows keep the order in which they are shown, whatever their new values; `out_of_order`: it differs from the sort
    order."""

    def __init__(
        self, identity: Callable[[R], Hashable], marks_of: Callable[[R], Sequence[Hashable]] | None = None
    ) -> None:
        """`marks_of` returns the identities that a mark on a row marks: none for a row that is no object, all members for
        the head of a group. Without it each row marks itself."""
        self.shown: list[R] = []
        self.at = 0
        self.marks: set[Hashable] = set()
        self.identity = identity
        self._marks_of = marks_of
        self.pending: Hashable = None
        self.held = False
        self.out_of_order = False
        self._sorted: list[R] = []
        self._marked: list[R] | None = None
        self._keep: Callable[[R], bool] | None = None
        self._rows: Sequence[R] = ()
        self._cursor_id: Hashable = None
        self._key: Callable[[R], Any] | None = None
        self._descending = False

    def set_rows(self, rows: Sequence[R]) -> None:
        """Replace the data. The cursor stays on its row, or at its index if the row is gone; marks of missing rows are
        dropped."""
        self._rows = rows
        self._arrange(keep_order=self.held)

    def order(self, key: Callable[[R], Any] | None, *, descending: bool) -> None:
        """Change the sort order. Rows whose key is None have no value, and come last."""
        self._key, self._descending = key, descending
        self._arrange()

    def set_filter(self, keep: Callable[[R], bool] | None) -> None:
        """Show only the rows that match; None shows all. Hidden rows lose their marks, so that no action applies to
        them."""
        self._keep = keep
        self._apply_filter()

    def move(self, index: int) -> bool:
        """Move the cursor to an index, limited to the rows; False when it does not move."""
        index = max(0, min(index, len(self.shown) - 1))
        if not self.shown or index == self.at:
            return False
        self.at, self.pending = index, None
        self._cursor_id = self.identity(self.shown[index])
        return True

    def select(self, identity: Hashable) -> None:
        """Put the cursor on this row now, or as soon as it appears."""
        self.pending = identity
        self._find_cursor()

    @property
    def unsorted(self) -> Sequence[R]:
        """All rows as they were set."""
        return self._rows

    @property
    def current(self) -> R | None:
        """The row under the cursor."""
        return self.shown[self.at] if self.shown else None

    def is_marked(self, row: R) -> bool:
        """Whether it is marked, or for the head of a group one of its members."""
        return bool(self.marks) and not self.marks.isdisjoint(self._marked_by(row))

    def marked(self) -> list[R]:
        """The marked rows in screen order; the same list object while nothing changes."""
        if self._marked is None:
            self._marked = [row for row in self.shown if self.is_marked(row)] if self.marks else []
        return self._marked

    @property
    def next_markable(self) -> int:
        """The index of the next row below the cursor that can be marked."""
        below = range(self.at + 1, len(self.shown))
        return next((index for index in below if self._marked_by(self.shown[index])), self.at)

    @property
    def may_mark(self) -> bool:
        """Whether the row under the cursor can be marked."""
        return self.current is not None and bool(self._marked_by(self.current))

    def toggle_mark(self) -> None:
        """Mark or unmark the row under the cursor."""
        if self.current is not None:
            marked = set(self._marked_by(self.current))
            self._mark(self.marks - marked if self.is_marked(self.current) else self.marks | marked)

    def toggle_all(self) -> None:
        """Mark all rows, or unmark them if all are marked."""
        every = self._markable()
        self._mark(set() if self.marks == every else every)

    def unmark(self, identities: Collection[Hashable] | None = None) -> None:
        """Remove the marks of these rows, or all."""
        self._mark(set() if identities is None else self.marks - set(identities))

    def _marked_by(self, row: R) -> Sequence[Hashable]:
        return (self.identity(row),) if self._marks_of is None else self._marks_of(row)

    def _markable(self) -> set[Hashable]:
        """What can be marked in the rows that are shown."""
        return {identity for row in self.shown for identity in self._marked_by(row)}

    def _mark(self, marks: set[Hashable]) -> None:
        self.marks, self._marked = marks, None

    def _arrange(self, *, keep_order: bool = False) -> None:
        rows = self._rows_in_order()
        self.out_of_order = False
        self._sorted = self._in_order_before(rows) if keep_order else rows
        self._apply_filter()

    def _rows_in_order(self) -> list[R]:
        """The rows in the sort order; those whose key is None last, whichever way the others are sorted."""
        if self._key is None:
            return list(self._rows)
        keyed = [(self._key(row), row) for row in self._rows]
        known = [pair for pair in keyed if pair[0] is not None]
        known.sort(key=itemgetter(0), reverse=self._descending)
        return [row for _, row in known] + [row for key, row in keyed if key is None]

    def _in_order_before(self, rows: list[R]) -> list[R]:
        """The sorted rows, with those that were there before in their earlier order: in the places of such rows, so
        that a new row is shown where it belongs."""
        identity = self.identity
        place = {identity(row): index for index, row in enumerate(self._sorted)}
        known = [row for row in rows if identity(row) in place]
        ordered = sorted(known, key=lambda row: place[identity(row)])
        self.out_of_order = any(a is not b for a, b in zip(known, ordered, strict=True))
        if not self.out_of_order:
            return rows
        earlier = iter(ordered)
        return [next(earlier) if identity(row) in place else row for row in rows]

    def _apply_filter(self) -> None:
        self.shown = self._sorted if self._keep is None else [row for row in self._sorted if self._keep(row)]
        if self.marks:
            self._mark(self.marks & self._markable())
        self._find_cursor()

    def _find_cursor(self) -> None:
        rows = self.shown
        if self.pending is not None and any(self.identity(row) == self.pending for row in rows):
            self._cursor_id, self.pending = self.pending, None
        if not (self.at < len(rows) and self.identity(rows[self.at]) == self._cursor_id):
            identity, cursor_id = self.identity, self._cursor_id
            found = next((i for i, row in enumerate(rows) if identity(row) == cursor_id), self.at)
            self.at = max(0, min(found, len(rows) - 1))
        self._cursor_id = self.identity(rows[self.at]) if rows else None
