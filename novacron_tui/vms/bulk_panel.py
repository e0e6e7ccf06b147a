"""The results of a bulk, live, with keys to stop the rest and to retry the failures."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen

from novacron_core.api import operations
from novacron_core.api.operations import BulkItem, BulkItemState, Operation
from novacron_core.errors import NovaCronError
from novacron_core.rules.bulk_words import needs_attention
from novacron_core.rules.operation_words import words
from novacron_core.values.ages import age_s, age_text
from novacron_tui.actions import refusal
from novacron_tui.connection.session import Session
from novacron_tui.connection.store import VMKey
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.vms.actions import STOP_REST
from novacron_tui.vms.bulk import load_items, progress_text, summary, worst_first
from novacron_tui.widgets.cells import Cell, Column
from novacron_tui.widgets.table import Table
from novacron_tui.widgets.text_bar import Piece, TextBar

LOOK_EVERY_S = 1.0
"""How often the items are read again while their number of results changes."""
_TONES = {
    BulkItemState.SUCCEEDED: "good",
    BulkItemState.REFUSED: "warn",
    BulkItemState.CANCELLED: "warn",
    BulkItemState.FAILED: "bad",
}


class BulkPanel(ModalScreen[list[VMKey]]):
    """Dismissed with the keys of the VMs to retry, which may be none."""

    DEFAULT_CSS = """
    BulkPanel { align: center middle; background: $background 60%; }
    BulkPanel > Vertical {
        width: 110; max-width: 96%; height: 80%; padding: 0 1; background: $background; border: round $accent;
        border-title-color: $accent; border-title-style: bold;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,b,q", "close", show=False),
        Binding("R", "again", show=False),
        Binding("C", "stop", show=False),
    ]

    def __init__(self, bulk: Operation, session: Session, glyphs: Glyphs) -> None:
        super().__init__()
        self._accepted = bulk
        self._session = session
        self._glyphs = glyphs
        self._left_out = session.left_out.get(bulk.id, [])
        self._items: list[BulkItem] = worst_first(self._left_out)
        self._loaded: object = None
        self._message = ""
        self._unwatch: Callable[[], None] | None = None
        self._table: Table[BulkItem] = Table(
            self._columns(), lambda item: item.position, signs=glyphs.table_signs, sort="given"
        )
        self._reason = TextBar()
        self._keys = TextBar()

    @property
    def _bulk(self) -> Operation:
        return self._session.store.operations.get(self._accepted.id, self._accepted)

    def compose(self) -> ComposeResult:
        box = Vertical(self._table, self._reason, self._keys)
        by = f" by {one_line(self._bulk.actor)}" if self._bulk.actor != self._session.user.username else ""
        verb = words(self._bulk.child_kind).verb.capitalize()
        box.border_title = Content(f"{verb} {one_line(self._bulk.target.name)}{by}")
        yield box

    def on_mount(self) -> None:
        self._unwatch = self._session.watch(self._changed)
        self.set_interval(LOOK_EVERY_S, self._look)
        self._table.focus()
        self._refresh()
        self._look()

    def on_unmount(self) -> None:
        if self._unwatch:
            self._unwatch()

    def _changed(self) -> None:
        self._refresh()
        if self._bulk.state.ended:
            self._look()  # the end is shown at once

    def _look(self) -> None:
        """Read the items if their results have changed since they were read."""
        if (self._bulk.counts, self._bulk.state) != self._loaded:
            self._load()

    @work(exclusive=True, group="items")
    async def _load(self) -> None:
        seen = (self._bulk.counts, self._bulk.state)
        try:
            items = await load_items(self._session.client, self._bulk.id)
        except NovaCronError as e:
            self._message = f"the results cannot be read: {one_line(e.detail)}"
        else:
            self._message, self._loaded = "", seen
            self._items = worst_first([*items, *self._left_out])
        self._refresh()

    @on(Table.Moved)
    def _moved(self) -> None:
        self._message = ""
        self._refresh()

    def _refresh(self) -> None:
        if not self.is_mounted:
            return
        self._table.show(self._items)
        item = self._table.row
        self._reason.show([Piece(self._message or (one_line(item.reason) if item else ""), "plain")])
        bulk = self._bulk
        text = summary(bulk, self._left_out)[0] if bulk.state.ended else progress_text(bulk, self._left_out)
        counts = text.partition(":")[0] if bulk.state.ended else text
        keys = [*self._key("R", "retry", self._why_not_again()), *self._key("C", "stop the rest", self._why_not_stop())]
        self._keys.show([*keys, *self._key("esc", "close", "")], [Piece(counts, "quiet", 1)])

    @staticmethod
    def _key(key: str, label: str, refused: str) -> list[Piece]:
        key_tone, tone = ("quiet", "quiet") if refused else ("key", "plain")
        return [Piece(key, key_tone, 0, key), Piece(f" {label}  ", tone, 0, key)]

    def _columns(self) -> list[Column[BulkItem]]:
        host_name = self._session.store.host_name
        return [
            Column("name", "NAME", 14, lambda item: ((one_line(item.name), "strong"),), widest=30, stretch=1),
            Column("host", "HOST", 8, lambda item: ((one_line(host_name(item.host)) if item.host else "", "quiet"),),
                   widest=16, rank=2),
            Column("result", "RESULT", 14, self._result),
            Column("took", "TIME", 5, lambda item: ((self._took(item), "quiet"),), right=True, rank=3),
            Column("reason", "REASON", 20, lambda item: ((one_line(item.reason), "plain"),), stretch=3, widest=90, rank=1),
        ]  # fmt: skip

    def _took(self, item: BulkItem) -> str:
        """How long the operation on a VM took, or runs already."""
        if item.started_at is None:
            return ""
        if item.finished_at is None:
            return age_text(age_s(item.started_at, self._session.now))
        seconds = (item.finished_at - item.started_at).total_seconds()
        return f"{seconds:.1f}s" if seconds < 10 else age_text(seconds)

    def _result(self, item: BulkItem) -> Cell:
        tone = _TONES.get(item.state, "busy")
        sign = {"good": self._glyphs.ok, "bad": self._glyphs.bad, "warn": self._glyphs.no}.get(tone, self._glyphs.work)
        word = words(self._bulk.child_kind).done if item.state is BulkItemState.SUCCEEDED else item.state
        return ((f"{sign} {word}", tone),)

    # -- keys --------------------------------------------------------------------------------------------------------

    def _why_not_again(self) -> str:
        if not self._bulk.state.ended:
            return "retry is for the end: some VMs are still running or queued"
        return "" if any(map(needs_attention, self._items)) else "nothing to retry: no VM has failed or was refused"

    def _why_not_stop(self) -> str:
        if self._bulk.state.ended:
            return "nothing to stop: it has ended"
        if not self._bulk.may_cancel:
            return "nothing to stop: no VM is queued any more"
        return refusal(STOP_REST, self._session, None) or ""

    def _say(self, text: str) -> None:
        self._message = text
        self._refresh()

    def action_close(self) -> None:
        self.dismiss([])

    def action_again(self) -> None:
        if refused := self._why_not_again():
            self._say(refused)
            return
        keys = [(item.host, item.vm_id) for item in self._items if needs_attention(item) and item.host]
        self.dismiss(keys)

    def action_stop(self) -> None:
        if refused := self._why_not_stop():
            self._say(refused)
        else:
            self._stop()

    @work(exclusive=True, group="stop")
    async def _stop(self) -> None:
        try:
            await self._session.client.call(operations.CANCEL, operation_id=self._bulk.id)
        except NovaCronError as e:
            self._say(f"the rest was not stopped: {one_line(e.detail)}")
        else:
            self._say("stopping: VMs that have begun run to their end")

    @on(TextBar.Pressed)
    def _clicked(self, event: TextBar.Pressed) -> None:
        press = {"R": self.action_again, "C": self.action_stop}.get(event.name, self.action_close)
        press()
