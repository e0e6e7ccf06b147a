"""Activity: running and past operations with their reasons, and events, live."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from textual.binding import BindingType

from novacron_core.api import audit
from novacron_core.rules.filters.events import HELP
from novacron_tui.actions import Action
from novacron_tui.connection.session import Session
from novacron_tui.operations.actions import CANCEL, COPY_IDS
from novacron_tui.operations.entries import ActivityEntry, detail_lines
from novacron_tui.operations.pane import ActivityPane
from novacron_tui.screens.global_actions import ACTIVITY, AUDIT, EVERYWHERE, bindings, go_to
from novacron_tui.screens.list_screen import BACK, MARK, MARK_ALL, REVERSE, SORT, ListScreen, filter_action, open_action
from novacron_tui.screens.vm_screen import show_bulk
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.vms.bulk import is_bulk
from novacron_tui.vms.perform import VMActionRunner
from novacron_tui.widgets.detail import Detail
from novacron_tui.widgets.text_bar import Piece

READ = open_action("Unfold a group; show details and the full reason; of a bulk action, the result of each VM.")
FILTER = filter_action(HELP)


TO_AUDIT = Action[Any](
    "to-audit", "tab", "audit", "Show the audit log instead: who did what, from where.", audit.LIST, needs_one=False,
    group="List", opens=True, run=go_to(AUDIT.name),
)  # fmt: skip


class ActivityScreen(ListScreen):
    """Operations and events in one table."""

    ACTIONS: ClassVar[tuple[Action[Any], ...]] = (
        READ, FILTER, MARK, SORT, CANCEL, COPY_IDS, TO_AUDIT, MARK_ALL, REVERSE, BACK, *EVERYWHERE,
    )  # fmt: skip
    BINDINGS: ClassVar[list[BindingType]] = bindings(ACTIONS)
    HERE = ACTIVITY

    def __init__(self, session: Session, glyphs: Glyphs) -> None:
        super().__init__(session, glyphs)
        self._pane = ActivityPane(session, glyphs)
        self._vm_actions = VMActionRunner(self)

    @property
    def pane(self) -> ActivityPane:
        return self._pane

    def body(self) -> ActivityPane:
        return self._pane

    def chosen_entries(self) -> Sequence[ActivityEntry]:
        """The entries that the actions apply to."""
        return self._pane.chosen()

    def subject(self, action: Action[Any]) -> ActivityEntry | None:
        """The row; for an action on marked entries the first that allows it."""
        return self._pane.subject(action) if action in (CANCEL, COPY_IDS) else self.row

    def list_hint(self) -> Sequence[Piece]:
        return self.marked_hint("C cancels what runs, y copies their ids") or self._pane.hint()

    def open_row(self) -> None:
        entry = self._pane.table.row
        if entry is None or self._pane.open_itself(entry):
            self.refresh_frame()
        elif entry.op is not None and is_bulk(entry.op):
            self.run_worker(show_bulk(self, self._vm_actions, entry.op), group="actions")
        else:
            self.app.push_screen(Detail(f"{entry.target}: {entry.what}", detail_lines(entry, self.session.now)))

    def go_back(self) -> None:
        """Fold the group that the cursor is in; else as everywhere."""
        if self._pane.filter.text or not self._pane.fold():
            super().go_back()
