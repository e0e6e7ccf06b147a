"""Rows in an order, a cursor on one of them and marks on some: by identity, so that they stay while data moves."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, TypeVar

R = TypeVar("R")


class Rows(Generic[R]):
    """`shown` is the order on the screen, `at` where the cursor is in it. The order is stable: rows that are equal in
    the sorted key keep the order they were given in. A row that is `wanted` gets the cursor as soon as it is there,
    unless the cursor is moved before that."""

    def __init__(self, identity: Callable[[R], Hashable]) -> None:
        self.shown: list[R] = []
        self.at = 0
        self.marks: set[Hashable] = set()
        self.identity = identity
        self.wanted: Hashable = None
        self._sorted: list[R] = []
        self._marked: list[R] | None = None
        self._keep: Callable[[R], bool] | None = None
        self._given: Sequence[R] = ()
        self._cursor_id: Hashable = None
        self._key: Callable[[R], Any] | None = None
        self._descending = False

    def give(self, rows: Sequence[R]) -> None:
        """Other data: the cursor stays with its row, and where that is gone, in its place; a mark goes with its row."""
        self._given = rows
        self._arrange()

    def order(self, key: Callable[[R], Any] | None, *, descending: bool) -> None:
        """Another order of the same data."""
        self._key, self._descending = key, descending
        self._arrange()

    def only(self, keep: Callable[[R], bool] | None) -> None:
        """Show only the rows that pass; None shows all. A mark goes with its row: nothing hidden is ever acted on."""
        self._keep = keep
        self._sift()

    def move(self, index: int) -> bool:
        """Put the cursor on a row, as near as there is one; False when it is there already."""
        index = max(0, min(index, len(self.shown) - 1))
        if not self.shown or index == self.at:
            return False
        self.at, self.wanted = index, None
        self._cursor_id = self.identity(self.shown[index])
        return True

    def want(self, identity: Hashable) -> None:
        """Put the cursor on this row now, or when it comes."""
        self.wanted = identity
        self._find_cursor()

    @property
    def current(self) -> R | None:
        """The row under the cursor."""
        return self.shown[self.at] if self.shown else None

    def is_marked(self, row: R) -> bool:
        return bool(self.marks) and self.identity(row) in self.marks

    def marked(self) -> list[R]:
        """The marked rows in the order shown; the same list as long as nothing changed."""
        if self._marked is None:
            marks, identity = self.marks, self.identity
            self._marked = [row for row in self.shown if identity(row) in marks] if marks else []
        return self._marked

    def toggle_mark(self) -> None:
        """Mark the row under the cursor, or take its mark away."""
        if self.current is not None:
            self._mark(self.marks ^ {self.identity(self.current)})

    def toggle_all(self) -> None:
        """Mark all rows; when all are marked, none."""
        every = {self.identity(row) for row in self.shown}
        self._mark(set() if self.marks == every else every)

    def unmark(self) -> None:
        """Take all marks away."""
        self._mark(set())

    def _mark(self, marks: set[Hashable]) -> None:
        self.marks, self._marked = marks, None

    def _arrange(self) -> None:
        rows = list(self._given)
        if self._key is not None:
            rows.sort(key=self._key, reverse=self._descending)
        self._sorted = rows
        self._sift()

    def _sift(self) -> None:
        self.shown = self._sorted if self._keep is None else [row for row in self._sorted if self._keep(row)]
        if self.marks:
            self._mark(self.marks & {self.identity(row) for row in self.shown})
        self._find_cursor()

    def _find_cursor(self) -> None:
        rows = self.shown
        if self.wanted is not None and any(self.identity(row) == self.wanted for row in rows):
            self._cursor_id, self.wanted = self.wanted, None
        if not (self.at < len(rows) and self.identity(rows[self.at]) == self._cursor_id):
            identity, wanted = self.identity, self._cursor_id
            found = next((i for i, row in enumerate(rows) if identity(row) == wanted), self.at)
            self.at = max(0, min(found, len(rows) - 1))
        self._cursor_id = self.identity(rows[self.at]) if rows else None
