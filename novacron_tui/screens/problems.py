"""Problems: everything that is wrong in one list, each with its next step as a key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from textual.binding import BindingType

from novacron_core.api.hosts import Host
from novacron_core.api.operations import Operation
from novacron_core.api.pools import Pool
from novacron_core.api.vms import VM
from novacron_tui.actions import Action
from novacron_tui.connection.session import Session
from novacron_tui.connection.store import key_of
from novacron_tui.operations.entries import detail_lines, of_operation
from novacron_tui.problems.entries import SECURITY, ProblemEntry
from novacron_tui.problems.pane import ProblemPane
from novacron_tui.screens.global_actions import AUDIT, EVERYWHERE, PROBLEMS, STORAGE, VMS, bindings
from novacron_tui.screens.list_screen import BACK, MARK, MARK_ALL, REVERSE, SORT, filter_action, open_action
from novacron_tui.screens.navigation import Go
from novacron_tui.screens.vm_page import VMPageScreen
from novacron_tui.screens.vm_screen import VMScreen
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.vms.actions import ACKNOWLEDGE, POWER_OFF, RESET, RESUME, START
from novacron_tui.widgets.detail import Detail, labelled
from novacron_tui.widgets.text_bar import Piece

OPEN = open_action("Go to what the problem is about.")
FILTER = filter_action("a word, kind:crashed, host:kvm-a, -not.")
MENDING = (START, RESUME, RESET, POWER_OFF, ACKNOWLEDGE)
"""The actions on the VMs of the marked rows, or else of the row under the cursor."""
COPY_IDS = Action[ProblemEntry](
    "copy-id", "y", "copy id", "Copy the ids of what the problems are about to the terminal's clipboard.",
    why_not=lambda problem, _: None if problem.thing else f"{problem.name}: {problem.kind}: has no id",
    group="Problems", run=lambda screen, _: screen.copy_ids([row.thing.id for row in screen.chosen_rows() if row.thing]),
)  # fmt: skip


class ProblemsScreen(VMScreen):
    """The actions on a VM work on the row of one."""

    ACTIONS: ClassVar[tuple[Action[Any], ...]] = (
        OPEN, FILTER, MARK, SORT, *MENDING, COPY_IDS, MARK_ALL, REVERSE, BACK, *EVERYWHERE,
    )  # fmt: skip
    BINDINGS: ClassVar[list[BindingType]] = bindings(ACTIONS)
    HERE = PROBLEMS

    def __init__(self, session: Session, glyphs: Glyphs) -> None:
        super().__init__(session, glyphs)
        self._pane = ProblemPane(session, glyphs)
        self._chosen: list[VM] = []
        self._chosen_when: tuple[object, ...] = ()

    @property
    def pane(self) -> ProblemPane:
        return self._pane

    def body(self) -> ProblemPane:
        return self._pane

    def chosen_rows(self) -> Sequence[ProblemEntry]:
        """The marked problems, or else the one under the cursor."""
        return self._pane.table.marked() or ([self.row] if self.row is not None else [])

    def chosen(self) -> Sequence[VM]:
        """The VMs of the chosen rows; the same list object while nothing changes, see `VMScreen.why_not`."""
        rows, store = self.chosen_rows(), self.session.store
        when = (store.version, *(row.id for row in rows))
        if when != self._chosen_when:
            vms = [row.thing for row in rows if isinstance(row.thing, VM)]
            self._chosen = [vm for each in vms if (vm := store.vms.get(key_of(each))) is not None]
            self._chosen_when = when
        return self._chosen

    def subject(self, action: Action[Any]) -> Any:
        if action is COPY_IDS:
            rows = self.chosen_rows()
            return next((row for row in rows if row.thing), next(iter(rows), None))
        return super().subject(action) if action in MENDING else self.row

    def why_not(self, action: Action[Any]) -> str | None:
        rows = self.chosen_rows()
        if action in MENDING and rows and not any(isinstance(row.thing, VM) for row in rows):
            return f"{rows[0].name}: {rows[0].kind}: not a VM"
        return super().why_not(action)

    def list_hint(self) -> Sequence[Piece]:
        return self.marked_hint("actions apply to their VMs, y copies their ids") or self._pane.hint()

    def open_row(self) -> None:
        row = self.row
        if not isinstance(row, ProblemEntry):
            return
        thing = row.thing
        if isinstance(thing, VM):
            self.app.push_screen(VMPageScreen(self.session, self.glyphs, thing))
        elif isinstance(thing, Host):
            self.app.post_message(Go(VMS.name, only=f'host:"{row.name}"'))
        elif isinstance(thing, Pool):
            self.app.post_message(Go(STORAGE.name))
        elif row.kind == SECURITY:
            self.start(AUDIT)
        elif isinstance(thing, Operation):
            entry = of_operation(thing)
            self.app.push_screen(Detail(f"{entry.target}: {entry.what}", detail_lines(entry, self.session.now)))
        else:
            lines = labelled([("what", row.name), ("why", row.why), ("next", row.next_step)])
            self.app.push_screen(Detail(row.kind, lines))
