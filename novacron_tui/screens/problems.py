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
from novacron_tui.problems.entries import ProblemEntry
from novacron_tui.problems.pane import ProblemPane
from novacron_tui.screens.global_actions import EVERYWHERE, PROBLEMS, STORAGE, VMS, bindings
from novacron_tui.screens.list_screen import BACK, REVERSE, SORT, filter_action, open_action
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
"""The actions on the VM of a row."""


class ProblemsScreen(VMScreen):
    """The actions on a VM work on the row of one."""

    ACTIONS: ClassVar[tuple[Action[Any], ...]] = (OPEN, FILTER, *MENDING, SORT, REVERSE, BACK, *EVERYWHERE)
    BINDINGS: ClassVar[list[BindingType]] = bindings(ACTIONS)
    HERE = PROBLEMS

    def __init__(self, session: Session, glyphs: Glyphs) -> None:
        super().__init__(session, glyphs)
        self._pane = ProblemPane(session, glyphs)

    @property
    def pane(self) -> ProblemPane:
        return self._pane

    def body(self) -> ProblemPane:
        return self._pane

    def chosen(self) -> Sequence[VM]:
        row = self.row
        if not isinstance(row, ProblemEntry) or not isinstance(row.thing, VM):
            return ()
        vm = self.session.store.vms.get(key_of(row.thing))
        return [vm] if vm else ()

    def subject(self, action: Action[Any]) -> Any:
        return super().subject(action) if action in MENDING else self.row

    def why_not(self, action: Action[Any]) -> str | None:
        row = self.row
        if action in MENDING and isinstance(row, ProblemEntry) and not isinstance(row.thing, VM):
            return f"{row.name}: {row.kind}: not a VM"
        return super().why_not(action)

    def list_hint(self) -> Sequence[Piece]:
        return self._pane.hint()

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
        elif isinstance(thing, Operation):
            entry = of_operation(thing)
            self.app.push_screen(Detail(f"{entry.target}: {entry.what}", detail_lines(entry, self.session.now)))
        else:
            lines = labelled([("what", row.name), ("why", row.why), ("next", row.next_step)])
            self.app.push_screen(Detail(row.kind, lines))
