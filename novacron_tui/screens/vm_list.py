"""The VM list: every visible VM, and the actions on them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, ClassVar

from textual.binding import Binding, BindingType

from novacron_core.api import stored_events
from novacron_core.api.events import SampleRequest
from novacron_core.api.operations import BulkItemState, Operation, OperationState
from novacron_core.api.stored_events import EventQuery
from novacron_core.api.vms import VM
from novacron_core.errors import NovaCronError
from novacron_core.values.roles import Permission, allows
from novacron_tui.actions import Action
from novacron_tui.connection.session import Session
from novacron_tui.connection.store import MAX_WARNINGS, WARNING, VMKey
from novacron_tui.consoles.actions import CONSOLE
from novacron_tui.screens.global_actions import EVERYWHERE, VMS, bindings
from novacron_tui.screens.list_screen import MARK, MARK_ALL, REVERSE, SORT, filter_action, open_action
from novacron_tui.screens.vm_page import VMPageScreen
from novacron_tui.screens.vm_screen import VMScreen, show_bulk
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.vms.actions import CONSOLE_LOGS, COPY_ID, CREATE, OWNERSHIP, STOP_REST, VERBS
from novacron_tui.vms.bulk import is_bulk, load_items, newest, progress_parts, running
from novacron_tui.vms.pane import VMPane
from novacron_tui.volumes.actions import UPLOAD
from novacron_tui.widgets.text_bar import Piece

# fmt: off
OPEN = open_action("Open the page of the VM.")
FILTER = filter_action("a word, state:running, host:a, tag:db, cpu>80, -not.")
RESULTS = Action[VM](
    "results", "b", "results", "Results of the newest bulk action; R retries failures.", needs_one=False, group="List",
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
        CONSOLE,
        *VERBS,
        *OWNERSHIP,
        *CONSOLE_LOGS,
        RESULTS,
        STOP_REST,
        MARK_ALL,
        REVERSE,
        COPY_ID,
        UPLOAD,
        *EVERYWHERE,
    )
    HERE = VMS
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(ACTIONS), Binding("escape", "escape", show=False)]

    def __init__(self, session: Session, glyphs: Glyphs) -> None:
        super().__init__(session, glyphs)
        self._pane = VMPane(session, glyphs)

    def on_mount(self) -> None:
        if allows(self.session.user.role, Permission.ACCESS_ADMIN, self.session.user.limits):
            self.run_worker(self._read_warnings(), group="warnings")

    async def _read_warnings(self) -> None:
        """Read the security warnings of the time before this console connected; those of now come with the stream."""
        query = EventQuery(q=f"type:{WARNING} age<24h", page_size=MAX_WARNINGS)
        with suppress(NovaCronError):  # an older server; the activity says why events cannot be read
            self.session.store.note_warnings((await self.session.client.call(stored_events.LIST, query=query)).items)
            self.session.changed()

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
        if (bulk := running(self.session)) is not None:
            far, wrong = progress_parts(bulk, self.session.left_out.get(bulk.id, ()))
            keys = [("C", "stops the rest", 1), ("b", "results", 2)] if bulk.may_cancel else [("b", "results", 2)]
            pieces = [Piece(f"{self.glyphs.work} {far}", "busy"), Piece(wrong, "warn", 3)]
            for key, label, rank in keys:
                pieces += [Piece(f"   {key}", "key", rank, key, label), Piece(f" {label}", "plain", rank, key, label)]
            return pieces
        return self.marked_hint("actions apply to all of them, esc unmarks") or self.pane.hint()

    def why_not(self, action: Action[Any]) -> str | None:
        if action is RESULTS and newest(self.session) is None:
            return "no bulk action yet: mark VMs with space, then press an action key"
        if action is STOP_REST and self._bulk_to_stop() is None:
            return "no bulk action has VMs that are still queued"
        return super().why_not(action)

    def _report_outcomes(self) -> None:
        """Also remove the marks of the VMs that a bulk started here has changed, when it has ended."""
        super()._report_outcomes()
        known = self.session.store.operations
        for bulk_id in [
            bulk_id for bulk_id in self.vm_actions.bulks if bulk_id in known and known[bulk_id].state.ended
        ]:
            keys = self.vm_actions.bulks.pop(bulk_id)
            self.run_worker(self._unmark_changed(known[bulk_id], keys), group="marks")

    async def _unmark_changed(self, bulk: Operation, keys: set[VMKey]) -> None:
        """Remove the marks of its VMs, but keep those of VMs that have failed or were refused, for the next try."""
        others = self.session.left_out.get(bulk.id, [])
        if bulk.state is not OperationState.SUCCEEDED or others:
            try:
                items = [*await load_items(self.session.client, bulk.id), *others]
            except NovaCronError:
                return  # the marks stay: what was changed is not known here
            keys = {(item.host, item.vm_id) for item in items if item.host and item.state is BulkItemState.SUCCEEDED}
        self.pane.table.unmark(keys)
        self.refresh_frame()

    async def show_results(self) -> None:
        """Show the results of the newest bulk, and perform it again on the VMs chosen there."""
        if (bulk := newest(self.session)) is not None:
            await show_bulk(self, self.vm_actions, bulk)

    def _bulk_to_stop(self) -> Operation | None:
        """The bulk with queued VMs that `C` stops: the newest of this user, else the newest of others."""
        store = self.session.store
        queued = [op for op in store.operations.values() if is_bulk(op) and not op.state.ended and op.may_cancel]
        own = self.session.user.username
        return max(queued, key=lambda op: (op.actor == own, op.created_at), default=None)

    async def stop_rest(self) -> None:
        """Ask the server to stop what is queued of the running bulk."""
        if (bulk := self._bulk_to_stop()) is not None:
            await self.cancel_operation(bulk, bulk.target.name)

    def follow_created(self, op: Operation) -> None:
        """Move the cursor to the new VM: the next key is most likely meant for it."""
        self.pane.go_to_created(op.target.id)

    def go_to(self, vm: VMKey) -> None:
        """Put the cursor on a VM; a filter that hides it is cleared."""
        self.pane.go_to(vm)
        self.refresh_frame()

    def action_escape(self) -> None:
        """Clear the message; else the filter; else the marks."""
        if self._message[0]:
            self.clear_message()
        else:
            self.narrow_back()

    def open_row(self) -> None:
        if (vm := self.pane.table.row) is not None:
            self._show_page(vm)

    def open_console(self, vm: VM) -> None:
        """Open the VM's page on its console, and type into the guest."""
        page = self._show_page(vm)
        page.call_after_refresh(page.open_console, vm)

    def _show_page(self, vm: VM) -> VMPageScreen:
        page, last = VMPageScreen(self.session, self.glyphs, vm), self.session.last_screens
        if VMPageScreen in last:
            page.restore_from(last[VMPageScreen])
        last[VMPageScreen] = page
        self.app.push_screen(page)
        return page
