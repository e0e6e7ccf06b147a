"""The VM list: every visible VM, and the actions on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from textual.binding import Binding, BindingType

from novacron_core.api.events import SampleRequest
from novacron_core.api.operations import Operation
from novacron_core.api.vms import VM
from novacron_core.values.counts import counted
from novacron_tui.actions import Action
from novacron_tui.connection.session import Session
from novacron_tui.connection.store import VMKey
from novacron_tui.screens.global_actions import EVERYWHERE, VMS, bindings
from novacron_tui.screens.list_screen import REVERSE, SORT, filter_action, open_action
from novacron_tui.screens.vm_page import VMPageScreen
from novacron_tui.screens.vm_screen import VMScreen
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.vms.actions import COPY_ID, CREATE, VERBS
from novacron_tui.vms.bulk_panel import BulkPanel
from novacron_tui.vms.pane import VMPane
from novacron_tui.widgets.text_bar import Piece

# fmt: off
OPEN = open_action("Open the page of the VM.")
FILTER = filter_action("a word, state:running, host:a, tag:db, cpu>80, -not.")
MARK = Action[VM](
    "mark", "space", "mark", "Mark the VM; actions apply to all marked VMs.", group="List",
    only_view=True, run=lambda screen, _: screen.table.toggle_mark(),
)
MARK_ALL = Action[VM](
    "mark-all", "*", "mark all", "Mark or unmark all listed.", group="List",
    only_view=True, run=lambda screen, _: screen.table.mark_all(),
)
RESULTS = Action[VM](
    "results", "b", "results", "Results of the last bulk action; R retries failures.", needs_one=False, group="List",
    opens=True, run=lambda screen, _: screen.show_results(),
)
# fmt: on


class VMListScreen(VMScreen):
    """The table; actions apply to the marked VMs, or else to the one under the cursor."""

    ACTIONS: ClassVar[tuple[Action[Any], ...]] = (
        OPEN,
        FILTER,
        MARK,
        SORT,
        CREATE,
        *VERBS,
        RESULTS,
        MARK_ALL,
        REVERSE,
        COPY_ID,
        *EVERYWHERE,
    )
    HERE = VMS
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(ACTIONS), Binding("escape", "escape", show=False)]

    def __init__(self, session: Session, glyphs: Glyphs) -> None:
        super().__init__(session, glyphs)
        self._pane = VMPane(session, glyphs)

    @property
    def pane(self) -> VMPane:
        return self._pane

    def body(self) -> VMPane:
        return self._pane

    def chosen(self) -> Sequence[VM]:
        table = self.pane.table
        return table.marked() or ([table.row] if table.row is not None and table.display else [])

    def wants(self) -> SampleRequest | None:
        return self.pane.wants()

    def list_hint(self) -> Sequence[Piece]:
        bulk = self.vm_actions.bulk
        if bulk is not None and not bulk.ended:
            return [Piece(f"{self.glyphs.work} {bulk.summary()[0]}", "busy")]
        marked = len(self.pane.table.marks)
        return [Piece(f"{marked} marked: actions apply to them", "accent")] if marked else self.pane.hint()

    def why_not(self, action: Action[Any]) -> str | None:
        if action is RESULTS and self.vm_actions.bulk is None:
            return "no bulk action yet: mark VMs with space, then press an action key"
        return super().why_not(action)

    def _report_outcomes(self) -> None:
        """Also report the end of a bulk action, once."""
        super()._report_outcomes()
        bulk = self.vm_actions.bulk
        if bulk is None or bulk.reported:
            return
        bulk.follow(self.session.store.operations)
        if bulk.ended:
            bulk.reported = True
            self.say(*bulk.summary())

    async def show_results(self) -> None:
        """Show the results of the last bulk action, and perform it again on the VMs chosen there."""
        if (bulk := self.vm_actions.bulk) is None:
            return
        retry_keys = await self.show_dialog(BulkPanel(bulk, self.session, self.glyphs))
        vms = [vm for key in retry_keys or () if (vm := self.session.store.vms.get(key))]
        if vms:
            await self.vm_actions.perform(bulk.verb, vms)

    def follow_created(self, op: Operation) -> None:
        """Move the cursor to the new VM: the next key is most likely meant for it."""
        self.pane.go_to_created(op.target.id)

    def go_to(self, vm: VMKey) -> None:
        """Put the cursor on a VM; a filter that hides it is cleared."""
        self.pane.go_to(vm)
        self.refresh_frame()

    def action_escape(self) -> None:
        """Clear the message; else the filter; else the marks, and say so."""
        marks = len(self.pane.table.marks)
        if self._message[0]:
            self.clear_message()
        elif self.pane.filter.text:
            self.pane.filter.action_clear()
        elif marks:
            self.pane.table.unmark()
            self.say(f"unmarked {counted(marks, 'VM')}")

    def open_row(self) -> None:
        if (vm := self.pane.table.row) is not None:
            page, last = VMPageScreen(self.session, self.glyphs, vm), self.session.last_screens
            if VMPageScreen in last:
                page.restore_from(last[VMPageScreen])
            last[VMPageScreen] = page
            self.app.push_screen(page)
