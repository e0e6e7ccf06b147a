"""Audit: who did what, from where, on what, with what result. Owners see their tenant's log, administrators all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

from textual.binding import BindingType

from novacron_core.api import audit
from novacron_core.rules.filters.audit import HELP
from novacron_tui.actions import Action
from novacron_tui.audit import perform
from novacron_tui.audit.entries import AuditRow, detail_lines, target, who
from novacron_tui.audit.pane import AuditPane
from novacron_tui.connection.session import Session
from novacron_tui.screens.global_actions import ACTIVITY, AUDIT, EVERYWHERE, bindings, go_to
from novacron_tui.screens.list_screen import BACK, REVERSE, SORT, ListScreen, filter_action, open_action
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.widgets.detail import Detail
from novacron_tui.widgets.text_bar import Piece

READ_EVERY_S = 5.0
_GROUP = "Audit"
# fmt: off
OPEN = open_action("Show all fields of the entry, with its hash.")
FILTER = filter_action(HELP)
TO_ACTIVITY = Action[AuditRow](
    "to-activity", "tab", "activity", "Show the operations and events instead.", needs_one=False, group="List",
    opens=True, run=go_to(ACTIVITY.name),
)
VERIFY = Action[AuditRow](
    "verify", "V", "verify", "Verify that no entry was changed, moved or deleted.", audit.VERIFY, needs_one=False,
    group=_GROUP, opens=True, run=perform.verify, command="audit verify",
)
EXPORT = Action[AuditRow](
    "export", "", "export", "Show how to export the log from the command line.", audit.EXPORT, needs_one=False,
    group=_GROUP, opens=True, run=perform.export, command="audit export",
)
COPY_REQUEST = Action[AuditRow](
    "copy-id", "y", "copy request id", "Copy the request's id to the terminal's clipboard.", group=_GROUP,
    why_not=lambda row, _: None if row.entry and row.entry.request_id else "this entry has no request id",
    run=lambda screen, row: screen.copy(row.entry.request_id if row.entry else ""),
)
# fmt: on


class AuditScreen(ListScreen):
    """Reads the log page by page, and what is added to it every few seconds: it is not part of the event stream."""

    ACTIONS: ClassVar[tuple[Action[Any], ...]] = (
        OPEN, TO_ACTIVITY, FILTER, VERIFY, SORT, COPY_REQUEST, EXPORT, REVERSE, BACK, *EVERYWHERE,
    )  # fmt: skip
    BINDINGS: ClassVar[list[BindingType]] = bindings(ACTIONS)
    HERE = AUDIT

    def __init__(self, session: Session, glyphs: Glyphs) -> None:
        super().__init__(session, glyphs)
        self._pane = AuditPane(session, glyphs)

    def body(self) -> AuditPane:
        return self._pane

    def on_mount(self) -> None:
        self.set_interval(READ_EVERY_S, self._read_new)
        self._pane.load_new()

    @property
    def pane(self) -> AuditPane:
        return self._pane

    def _read_new(self) -> None:
        if self._is_frontmost:
            self._pane.load_new()

    def reload(self) -> None:
        super().reload()
        self._pane.load_new()

    def restore_from(self, before: Self) -> None:
        self._pane.restore_from(before._pane)

    def crumbs(self) -> Sequence[str]:
        return [ACTIVITY.label, AUDIT.label]

    def list_hint(self) -> Sequence[Piece]:
        return self._pane.hint()

    def open_row(self) -> None:
        row = self._pane.table.row
        if row is None or self._pane.open_itself(row) or row.entry is None:
            self.refresh_frame()
            return
        title = f"{who(row.entry)}: {one_line(row.entry.action)} {target(row.entry)}".rstrip()
        self.app.push_screen(Detail(title, detail_lines(row.entry, self.session.now)))
