"""The VM list: every visible VM, and the actions on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from textual import on
from textual.binding import Binding, BindingType

from novacron_core.api.events import SampleRequest
from novacron_core.api.operations import Operation
from novacron_core.api.vms import VM
from novacron_tui.actions import Action
from novacron_tui.connection.session import Session
from novacron_tui.connection.store import VMKey
from novacron_tui.screens.filter_keys import FILTER_KEYS, run_filter_key
from novacron_tui.screens.global_actions import EVERYWHERE, VMS, bindings
from novacron_tui.screens.vm_page import VMPageScreen
from novacron_tui.screens.vm_screen import VMScreen
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.vms.actions import COPY_ID, CREATE, VERBS
from novacron_tui.vms.bulk_panel import BulkPanel
from novacron_tui.vms.pane import VMPane
from novacron_tui.widgets.table import Table
from novacron_tui.widgets.text_bar import Piece

OPEN = Action[VM]("open", "enter", "open", "Open the page of the VM.", group="List", opens=True)
SORT = Action[VM](
    "sort",
    "o",
    "sort",
    "Sort by the next column; click a header to sort by it.",
    needs_one=False,
    group="List",
)
REVERSE = Action[VM]("turn", "O", "reverse", "Reverse the sort order.", needs_one=False, group="List")
FILTER = Action[VM](
    "filter",
    "/",
    "filter",
    "Filter as you type: a word, state:running, host:a, tag:db, cpu>80, -not.",
    needs_one=False,
    group="List",
    opens=True,
)
RESULTS = Action[VM](
    "results",
    "b",
    "results",
    "Results of the last bulk action; R retries failures.",
    needs_one=False,
    group="List",
    opens=True,
)
MARK = Action[VM]("mark", "space", "mark", "Mark the VM; actions apply to all marked VMs.", group="List")
MARK_ALL = Action[VM]("mark-all", "*", "mark all", "Mark or unmark all listed.", group="List")


class VMListScreen(VMScreen):
    """The table; actions apply to the marked VMs, or else to the one under the cursor."""

    ACTIONS: ClassVar[tuple[Action[Any], ...]] = (
        *VERBS,
        CREATE,
        COPY_ID,
        OPEN,
        FILTER,
        SORT,
        REVERSE,
        MARK,
        MARK_ALL,
        RESULTS,
        *EVERYWHERE,
    )
    HERE = VMS
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(ACTIONS), Binding("escape", "escape", show=False)]

    def __init__(self, session: Session, glyphs: Glyphs) -> None:
        super().__init__(session, glyphs)
        self.pane = VMPane(session, glyphs)

    def body(self) -> VMPane:
        return self.pane

    def chosen(self) -> Sequence[VM]:
        table = self.pane.table
        return table.marked() or ([table.row] if table.row is not None and table.display else [])

    def refresh_body(self) -> None:
        self.pane.refresh_data()

    def wants(self) -> SampleRequest | None:
        return self.pane.wants()

    def hint(self) -> Sequence[Piece]:
        bulk = self.performer.bulk
        if bulk is not None and not bulk.ended:
            return [Piece(f"{self.glyphs.work} {bulk.summary()[0]}", "busy")]
        marked = len(self.pane.table.marks)
        return [Piece(f"{marked} marked", "accent")] if marked else self.pane.hint()

    def why_not(self, action: Action[Any]) -> str | None:
        if action is RESULTS and self.performer.bulk is None:
            return "no bulk action yet: mark VMs with space, then press an action key"
        if action in (SORT, REVERSE) and not self.pane.table.rows:
            return "nothing to sort"
        return super().why_not(action)

    def _report_outcomes(self) -> None:
        """Also report the end of a bulk action, once."""
        super()._report_outcomes()
        bulk = self.performer.bulk
        if bulk is None or bulk.reported:
            return
        bulk.follow(self.session.store.operations)
        if bulk.ended:
            bulk.reported = True
            self.say(*bulk.summary())

    async def _show_results(self) -> None:
        if (bulk := self.performer.bulk) is None:
            return
        retry_keys = await self.app.push_screen_wait(BulkPanel(bulk, self.session, self.glyphs))
        vms = [vm for key in retry_keys or () if (vm := self.session.store.vms.get(key))]
        if vms:
            await self.performer.perform(bulk.verb, vms)

    def _offered(self) -> list[Action[Any]]:
        """While a filter is typed, letters are text: only the keys of the filter line work."""
        return list(FILTER_KEYS) if self.pane.filter.editing else super()._offered()

    async def do(self, action: Action[Any]) -> None:
        table = self.pane.table
        if run_filter_key(action, self.pane.filter):
            pass
        elif action is FILTER:
            self.clear_message()
            self.pane.open_filter()
        elif action is RESULTS:
            await self._show_results()
        elif action is OPEN:
            self._open()
        elif action is SORT:
            table.sort_next()
        elif action is REVERSE:
            table.sort_by(table.sort_key)
        elif action is MARK:
            table.toggle_mark()
        elif action is MARK_ALL:
            table.mark_all()
        else:
            await super().do(action)
            return
        self.refresh_frame()

    def follow_created(self, op: Operation) -> None:
        """Move the cursor to the new VM: the next key is most likely meant for it."""
        self.pane.go_to_created(op.target.id)

    def go_to(self, vm: VMKey) -> None:
        """Put the cursor on a VM; a filter that hides it is cleared."""
        self.pane.go_to(vm)
        self.refresh_frame()

    def action_escape(self) -> None:
        """Clear the message and all marks; if there are none, clear the filter."""
        if self._message[0] or self.pane.table.marks:
            self.pane.table.unmark()
            self.clear_message()
        else:
            self.pane.filter.action_clear()

    @on(Table.Moved)
    @on(VMPane.Sifted)
    def _moved(self) -> None:
        self.refresh_frame()
        self.request_samples()

    @on(Table.Opened)
    def _open(self) -> None:
        if (vm := self.pane.table.row) is not None:
            self.app.push_screen(VMPageScreen(self.session, self.glyphs, vm))
