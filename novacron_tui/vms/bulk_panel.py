"""The results of a bulk action, live, with a key to retry the failures."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen

from novacron_core.values.counts import counted
from novacron_tui.connection.session import Session
from novacron_tui.connection.store import VMKey
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.vms.bulk import Bulk, Item, ItemState
from novacron_tui.widgets.cells import Cell, Column
from novacron_tui.widgets.table import Table
from novacron_tui.widgets.text_bar import Piece, TextBar

_TONES = {ItemState.DONE: "good", ItemState.REFUSED: "warn", ItemState.FAILED: "bad", ItemState.UNSEEN: "bad"}


class BulkPanel(ModalScreen[list[VMKey]]):
    """Dismissed with the keys of the VMs to retry, which may be none."""

    DEFAULT_CSS = """
    BulkPanel { align: center middle; background: $background 60%; }
    BulkPanel > Vertical {
        width: 100; max-width: 96%; height: 80%; padding: 0 1; background: $background; border: round $accent;
        border-title-color: $accent; border-title-style: bold;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,b,q", "close", show=False),
        Binding("R", "again", show=False),
    ]

    def __init__(self, bulk: Bulk, session: Session, glyphs: Glyphs) -> None:
        super().__init__()
        self._bulk = bulk
        self._session = session
        self._glyphs = glyphs
        self._unwatch: Callable[[], None] | None = None
        self._table: Table[Item] = Table(self._columns(), lambda item: item.vm, signs=glyphs.table_signs, sort="given")
        self._reason = TextBar()
        self._keys = TextBar()

    def compose(self) -> ComposeResult:
        box = Vertical(self._table, self._reason, self._keys)
        box.border_title = Content(f"{self._bulk.verb.label.capitalize()} {counted(len(self._bulk.items), 'VM')}")
        yield box

    def on_mount(self) -> None:
        self._unwatch = self._session.watch(self._refresh)
        self._table.focus()
        self._refresh()

    def on_unmount(self) -> None:
        if self._unwatch:
            self._unwatch()

    @on(Table.Moved)
    def _refresh(self) -> None:
        self._bulk.follow(self._session.store.operations)
        self._table.show(self._bulk.worst_first)
        item = self._table.row
        self._reason.show([Piece(item.reason if item else "", "plain")])
        counts = self._bulk.summary()[0].partition(":")[0]
        retryable = "key" if self._bulk.ended and self._bulk.retryable() else "quiet"
        keys = [
            Piece("R", retryable, 0, "R"),
            Piece(" retry  ", "quiet" if retryable == "quiet" else "plain", 0, "R"),
        ]
        close = [Piece("esc", "key", 0, "esc"), Piece(" close", "plain", 0, "esc")]
        self._keys.show([*keys, *close], [Piece(counts, "quiet", 1)])

    def _columns(self) -> list[Column[Item]]:
        return [
            Column("name", "NAME", 14, lambda item: ((one_line(item.name), "strong"),), widest=30, stretch=1),
            Column("result", "RESULT", 14, self._result),
            Column("reason", "REASON", 20, lambda item: ((item.reason, "plain"),), stretch=3, widest=90, rank=1),
        ]

    def _result(self, item: Item) -> Cell:
        tone = _TONES.get(item.state, "busy")
        sign = {"good": self._glyphs.ok, "bad": self._glyphs.bad, "warn": self._glyphs.no}.get(tone, self._glyphs.work)
        return ((f"{sign} {self._bulk.verb.words.done if item.state is ItemState.DONE else item.state}", tone),)

    def action_close(self) -> None:
        self.dismiss([])

    def action_again(self) -> None:
        if self._bulk.ended and (keys := self._bulk.retryable()):
            self.dismiss(keys)

    @on(TextBar.Pressed)
    def _clicked(self, event: TextBar.Pressed) -> None:
        if event.name == "R":
            self.action_again()
        else:
            self.action_close()
