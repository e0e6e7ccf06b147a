"""Home: every VM this session may see, and what can be done to them."""

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
from novacron_tui.screens.filter_keys import TYPING, do_typing
from novacron_tui.screens.global_actions import EVERYWHERE, VMS, bindings
from novacron_tui.screens.vm_page import VMPageScreen
from novacron_tui.screens.vm_screen import VMScreen
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.vms.actions import COPY_ID, CREATE, VERBS
from novacron_tui.vms.bulk_panel import BulkPanel
from novacron_tui.vms.pane import VMPane
from novacron_tui.widgets.table import Table
from novacron_tui.widgets.text_bar import Piece

OPEN = Action[VM]("open", "enter", "open", "Open the VM's page.", group="List", opens=True)
SORT = Action[VM](
    "sort",
    "o",
    "sort",
    "Sort by the next column; a click on a header sorts by that one.",
    needs_one=False,
    group="List",
)
TURN = Action[VM]("turn", "O", "reverse", "Turn the order round.", needs_one=False, group="List")
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
    "What became of each VM of the last bulk; R tries again.",
    needs_one=False,
    group="List",
    opens=True,
)
MARK = Action[VM]("mark", "space", "mark", "Mark the VM; the verbs then act on all marked.", group="List")
MARK_ALL = Action[VM]("mark-all", "*", "mark all", "Mark all shown, or none when all are.", group="List")


class VMListScreen(VMScreen):
    """The table, and the verbs on the marked VMs, or on the one under the cursor."""

    ACTIONS: ClassVar[tuple[Action[Any], ...]] = (
        *VERBS,
        CREATE,
        COPY_ID,
        OPEN,
        FILTER,
        SORT,
        TURN,
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
        if bulk is not None and not bulk.over:
            return [Piece(f"{self.glyphs.work} {bulk.sentence()[0]}", "busy")]
        marked = len(self.pane.table.marks)
        return [Piece(f"{marked} marked", "accent")] if marked else self.pane.hint()

    def why_not(self, action: Action[Any]) -> str | None:
        if action is RESULTS and self.performer.bulk is None:
            return "nothing was done to several VMs yet: mark them with space, then press a verb"
        if action in (SORT, TURN) and not self.pane.table.rows:
            return "there is nothing to sort"
        return super().why_not(action)

    def _tell_outcomes(self) -> None:
        """The end of a bulk is one sentence, said once."""
        super()._tell_outcomes()
        bulk = self.performer.bulk
        if bulk is None or bulk.told:
            return
        bulk.follow(self.session.store.operations)
        if bulk.over:
            bulk.told = True
            self.say(*bulk.sentence())

    async def _show_results(self) -> None:
        if (bulk := self.performer.bulk) is None:
            return
        again = await self.app.push_screen_wait(BulkPanel(bulk, self.session, self.glyphs))
        vms = [vm for key in again or () if (vm := self.session.store.vms.get(key))]
        if vms:
            await self.performer.perform(bulk.verb, vms)

    def _offered(self) -> list[Action[Any]]:
        """While a filter is typed, letters are text: only the keys of the line work."""
        return list(TYPING) if self.pane.filter.editing else super()._offered()

    async def do(self, action: Action[Any]) -> None:
        table = self.pane.table
        if do_typing(action, self.pane.filter):
            pass
        elif action is FILTER:
            self.hush()
            self.pane.open_filter()
        elif action is RESULTS:
            await self._show_results()
        elif action is OPEN:
            self._open()
        elif action is SORT:
            table.sort_next()
        elif action is TURN:
            table.sort_by(table.sort_key)
        elif action is MARK:
            table.toggle_mark()
        elif action is MARK_ALL:
            table.mark_all()
        else:
            await super().do(action)
            return
        self.refresh_frame()

    def made(self, op: Operation) -> None:
        """The cursor goes to what was made: the next key is most likely meant for it."""
        self.pane.go_to_made(op.target.id)

    def go_to(self, vm: VMKey) -> None:
        """Put the cursor on a VM; a filter that hides it is cleared."""
        self.pane.go_to(vm)
        self.refresh_frame()

    def action_escape(self) -> None:
        """Back to nothing said and nothing marked; then to no filter."""
        if self._said[0] or self.pane.table.marks:
            self.pane.table.unmark()
            self.hush()
        else:
            self.pane.filter.action_clear()

    @on(Table.Moved)
    @on(VMPane.Sifted)
    def _moved(self) -> None:
        self.refresh_frame()
        self.ask_for_samples()

    @on(Table.Opened)
    def _open(self) -> None:
        if (vm := self.pane.table.row) is not None:
            self.app.push_screen(VMPageScreen(self.session, self.glyphs, vm))
