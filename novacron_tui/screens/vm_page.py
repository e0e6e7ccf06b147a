"""The page of one VM. It is updated while it is open, and shows when the VM has been deleted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from textual.binding import BindingType
from textual.containers import Container, Vertical, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from novacron_core.api.events import SampleRequest
from novacron_core.api.vms import VM
from novacron_tui.actions import Action
from novacron_tui.connection.session import Session
from novacron_tui.connection.store import key_of
from novacron_tui.screens.global_actions import EVERYWHERE, bindings
from novacron_tui.screens.vm_screen import VMScreen
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.vms import page
from novacron_tui.vms.actions import COPY_ID, VERBS
from novacron_tui.vms.live import usage_lines
from novacron_tui.widgets.cursor_keys import cursor_bindings
from novacron_tui.widgets.text_bar import Piece, content

BACK = Action[VM]("back", "escape", "back", "Go back to the list.", needs_one=False, group="Page")
SHOWN_OPERATIONS, SHOWN_EVENTS = 8, 12


class Section(Static):
    """A titled box of lines."""

    DEFAULT_CSS = """
    Section { height: auto; width: 1fr; border: round $rule; border-title-color: $accent; padding: 0 1;
        text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(self, title: str, *, id: str) -> None:
        super().__init__(id=id)
        self.border_title = title
        self._shown: page.Lines = []

    def show(self, lines: page.Lines) -> None:
        """Show these lines; unchanged lines are not repainted."""
        if lines != self._shown:
            self._shown = lines
            self.update(Content("\n").join(content(line) for line in lines))


class VMPageScreen(VMScreen):
    """Overview, resources, disks, network, operations with their reasons, events."""

    ACTIONS: ClassVar[tuple[Action[Any], ...]] = (*VERBS, COPY_ID, BACK, *EVERYWHERE)
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings(ACTIONS),
        *cursor_bindings(left="press('escape')", down="scroll(1)", up="scroll(-1)"),
    ]
    DEFAULT_CSS = """
    VMPageScreen #scroll { height: 1fr; padding: 0 1; scrollbar-size-vertical: 1; }
    VMPageScreen #columns { height: auto; layout: vertical; }
    VMPageScreen .column { height: auto; width: 1fr; }
    VMPageScreen.-wide #columns { layout: horizontal; }
    """

    def __init__(self, session: Session, glyphs: Glyphs, vm: VM) -> None:
        super().__init__(session, glyphs)
        self._last = vm
        self._overview = Section("Overview", id="overview")
        self._use = Section("Resources", id="use")
        self._disks = Section("Disks", id="disks")
        self._nics = Section("Network", id="nics")
        self._operations = Section("Operations", id="operations")
        self._events = Section("Events", id="events")

    def body(self) -> Widget:
        left = Vertical(self._overview, self._use, self._disks, self._nics, classes="column")
        right = Vertical(self._operations, self._events, classes="column")
        return VerticalScroll(Container(left, right, id="columns"), id="scroll")

    @property
    def vm(self) -> VM | None:
        """The current VM; None when it no longer exists."""
        return self.session.store.vms.get(key_of(self._last))

    def chosen(self) -> Sequence[VM]:
        return [self.vm] if self.vm else []

    def refresh_body(self) -> None:
        store, now, glyphs = self.session.store, self.session.now, self.glyphs
        vm = self.vm
        self._last = vm or self._last
        gone = "" if vm else "  (deleted)"
        self._overview.border_title = Content(f"{one_line(self._last.name)}{gone}")
        self._overview.show(page.overview(self._last, now, glyphs, store.host_name))
        self._use.show(usage_lines(self._last, store.samples, glyphs))
        self._disks.show(page.disks(self._last, glyphs))
        self._nics.show(page.nics(self._last, glyphs))
        self._operations.show(page.operations(store.operations_of(self._last.id)[:SHOWN_OPERATIONS], now, glyphs))
        self._events.show(page.event_lines(store.events_of(self._last), now)[:SHOWN_EVENTS])

    def wants(self) -> SampleRequest | None:
        return SampleRequest(targets=[self._last.id])

    def hint(self) -> Sequence[Piece]:
        if self.vm is None:
            return [Piece(f"{one_line(self._last.name)} no longer exists: esc goes back to the list", "warn")]
        return ()

    async def do(self, action: Action[Any]) -> None:
        if action is BACK:
            self.dismiss()
        else:
            await super().do(action)

    def action_scroll(self, by: int) -> None:
        self.query_one("#scroll", VerticalScroll).scroll_relative(y=by, animate=False)

    def on_mount(self) -> None:
        self.refresh_body()
