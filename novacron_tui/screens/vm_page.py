"""The page of one VM, in tabs. It is updated while it is open, and shows when the VM has been deleted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widget import Widget

from novacron_core.api import vms
from novacron_core.api.events import SampleRequest
from novacron_core.api.vms import VM, State
from novacron_core.errors import NovaCronError
from novacron_tui.actions import Action
from novacron_tui.connection.session import Session
from novacron_tui.connection.store import key_of
from novacron_tui.consoles.actions import CONSOLE, CONSOLE_ACTIONS
from novacron_tui.consoles.pane import ConsolePane
from novacron_tui.metrics.actions import RANGE
from novacron_tui.operations.actions import CANCEL
from novacron_tui.operations.entries import ActivityEntry, detail_lines
from novacron_tui.operations.pane import ActivityPane
from novacron_tui.screens.console_tab import TAB, ConsoleTab
from novacron_tui.screens.global_actions import EVERYWHERE, VMS, bindings
from novacron_tui.screens.list_screen import BACK, MARK, MARK_ALL, REVERSE, SORT, filter_action, open_action
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.vms.actions import CONSOLE_LOGS, COPY_ID, CRASH, OWNERSHIP, VERBS
from novacron_tui.vms.crash_detail import crash_lines
from novacron_tui.vms.device_panes import DiskEntry, DiskPane, NetworkPane, disk_rows, nic_rows
from novacron_tui.vms.metrics_pane import MetricsPane
from novacron_tui.vms.overview import OverviewPane
from novacron_tui.volumes import actions as volume_actions
from novacron_tui.volumes.opening import show_volume
from novacron_tui.widgets.cursor_keys import cursor_bindings
from novacron_tui.widgets.detail import Detail, labelled
from novacron_tui.widgets.list_pane import ListPane
from novacron_tui.widgets.text_bar import Piece, TextBar


def _tab(name: str, label: str, help: str) -> Action[VM]:
    """The action that shows a tab by its name, like `:disks`; tab and shift+tab reach all of them."""
    return Action(
        name, "", label, help, needs_one=False, group="Page", run=lambda screen, _: screen.show_tab(name)
    )  # fmt: skip


OVERVIEW = _tab("overview", "overview", "Show the overview.")
METRICS = _tab("charts", "metrics", "Show CPU, memory, disk and network over time.")
DISKS = _tab("disks", "disks", "Show the disks and their actions.")
NETWORKS = _tab("networks", "networks", "Show the network interfaces.")
EVENTS = _tab("events", "events", "Show the operations on the VM and its events.")
SERIAL = _tab(TAB, "console", "Show the serial console.")
TABS = (OVERVIEW, METRICS, DISKS, NETWORKS, EVENTS, SERIAL)
NEXT_TAB = Action[VM](
    "next-tab", "tab", "next tab", "Show the next tab; shift+tab shows the previous one.", needs_one=False,
    group="Page", run=lambda screen, _: screen.action_turn(1),
)  # fmt: skip
OPEN = open_action("Show details.")
FILTER = filter_action("a word, or a field and a value like tier:hot or state:failed, -not.")
DISK_VERBS = (
    volume_actions.MOVE, volume_actions.GROW, volume_actions.CLONE, volume_actions.DETACH, volume_actions.CANCEL,
)  # fmt: skip
LISTS = (OPEN, FILTER, SORT, REVERSE)
ONLY_ON = {
    OVERVIEW.name: (CRASH,),
    METRICS.name: (RANGE,),
    DISKS.name: (*DISK_VERBS, *LISTS, MARK, MARK_ALL),
    NETWORKS.name: LISTS,
    SERIAL.name: CONSOLE_ACTIONS,
    EVENTS.name: (CANCEL, *LISTS, MARK, MARK_ALL),
}
"""The actions that a tab has beside those of the whole page."""


class VMPageScreen(ConsoleTab):
    """The actions on the VM work on every tab; a tab adds those on the row under its cursor."""

    ACTIONS: ClassVar[tuple[Action[Any], ...]] = (
        CONSOLE, *VERBS, *CONSOLE_LOGS, *OWNERSHIP, COPY_ID, *DISK_VERBS, CANCEL, RANGE, *LISTS, MARK, MARK_ALL, CRASH, *CONSOLE_ACTIONS, NEXT_TAB, *TABS, BACK, *EVERYWHERE,
    )  # fmt: skip
    ONE_AT_A_TIME = volume_actions.ONE_AT_A_TIME
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings(ACTIONS),
        *cursor_bindings(left="press('escape')"),
        Binding("shift+tab", "turn(-1)", show=False),
    ]
    DEFAULT_CSS = """
    VMPageScreen #tabs { height: 1; }
    VMPageScreen.-full > #top, VMPageScreen.-full #tabs, VMPageScreen.-full > #status { display: none; }
    VMPageScreen.-wide OverviewPane #columns { layout: horizontal; }
    VMPageScreen.-wide OverviewPane.-words #last-words-below { display: none; }
    VMPageScreen.-wide OverviewPane.-words #last-words-beside { display: block; }
    """

    def __init__(self, session: Session, glyphs: Glyphs, vm: VM) -> None:
        super().__init__(session, glyphs)
        self._last = vm
        self.tab = self._chosen_tab = OVERVIEW.name
        self._bar = TextBar(margin=1, id="tabs")
        self._panes: dict[str, Widget] = {}
        self._body = Vertical(self._bar)

    def body(self) -> Widget:
        return self._body

    def on_mount(self) -> None:
        self._show(self.tab)

    @property
    def vm(self) -> VM | None:
        """The current VM; None when it no longer exists."""
        return self.session.store.vms.get(key_of(self._last))

    def chosen(self) -> Sequence[VM]:
        return [self.vm] if self.vm else []

    def restore_from(self, before: Self) -> None:
        """Open on the tab that was last chosen, whichever VM it was of; a crash stands on the overview. A console is opened
        only on purpose: other programs have none of it meanwhile."""
        self._chosen_tab = OVERVIEW.name if before._chosen_tab == SERIAL.name else before._chosen_tab
        crashed = State.CRASHED in (self._last.state, self._last.last_state)
        self.tab = OVERVIEW.name if crashed else self._chosen_tab

    # -- tabs ------------------------------------------------------------------------------------------------------

    def show_tab(self, name: str) -> None:
        """Show the tab that the operator has chosen."""
        self._chosen_tab = name
        self._show(name)

    def _show(self, name: str) -> None:
        """Show a tab and put the focus in it. It is made when it is first shown."""
        self.tab = name
        self.set_class(self.has_class("-full") and name == SERIAL.name, "-full")
        if name not in self._panes:
            self._panes[name] = self._make_pane(name)
            self._body.mount(self._panes[name])
        for other, pane in self._panes.items():
            pane.display = other == name
        self.clear_message()
        self.refresh_body()
        self.request_samples()
        if name == DISKS.name:
            self.run_worker(self.session.read_policy())
        pane = self._panes[name]
        pane.call_after_refresh(self._focus, pane)

    def _focus(self, pane: Widget) -> None:
        if pane is not self._panes[self.tab] or self.app.screen is not self:
            return
        if isinstance(pane, ListPane):
            pane.focus_list()
        elif isinstance(pane, ConsolePane):
            pane.terminal.focus()
        else:
            pane.focus()

    def action_turn(self, by: int) -> None:
        """Show a neighbour of the current tab."""
        names = [tab.name for tab in TABS]
        self.show_tab(names[(names.index(self.tab) + by) % len(names)])

    def _make_pane(self, name: str) -> Widget:
        session, glyphs = self.session, self.glyphs
        if name == METRICS.name:
            return MetricsPane(session, glyphs, self._last)
        if name == DISKS.name:
            return DiskPane(session, glyphs, lambda: self._last)
        if name == SERIAL.name:
            return ConsolePane(session, glyphs, self._last)
        if name == NETWORKS.name:
            return NetworkPane(session, glyphs, lambda: self._last)
        if name == EVENTS.name:
            return ActivityPane(session, glyphs, lambda entry: entry.is_about(self._last), vm_id=self._last.id)
        return OverviewPane(session, glyphs)

    @property
    def pane(self) -> ListPane[Any] | None:
        pane = self._panes.get(self.tab)
        return pane if isinstance(pane, ListPane) else None

    @property
    def console(self) -> ConsolePane | None:
        pane = self._panes.get(SERIAL.name)
        return pane if isinstance(pane, ConsolePane) else None

    @property
    def on_console(self) -> bool:
        return self.tab == SERIAL.name

    def next_range(self) -> None:
        """Show the next time range of the charts."""
        if isinstance(pane := self._panes.get(METRICS.name), MetricsPane):
            pane.next_range()

    # -- actions ---------------------------------------------------------------------------------------------------

    def subject(self, action: Action[Any]) -> Any:
        """The VM; for an action on a row the row, and for one on a disk its volume."""
        if action in DISK_VERBS:
            return self.first_allowed(action, self.subjects(action))
        if action is CANCEL:
            return self.pane.subject(action) if isinstance(self.pane, ActivityPane) else None
        return self.row if action in (*LISTS, MARK, MARK_ALL) else super().subject(action)

    def subjects(self, action: Action[Any]) -> Sequence[Any]:
        """For an action on disks the volumes of the marked ones, or else of the one under the cursor."""
        if action not in DISK_VERBS:
            return super().subjects(action)
        disks = self.pane.chosen() if isinstance(self.pane, DiskPane) else ()
        return [disk.volume for disk in disks if disk.volume is not None]

    def chosen_entries(self) -> Sequence[ActivityEntry]:
        """The entries of the events tab that its actions apply to."""
        return self.pane.chosen() if isinstance(self.pane, ActivityPane) else ()

    def why_not(self, action: Action[Any]) -> str | None:
        if action in DISK_VERBS and isinstance(self.row, DiskEntry) and not self.subjects(action):
            return f"{self.row.disk.target} is not a volume of a pool that NovaCron can see"
        if action in (MARK, MARK_ALL) and action not in ONLY_ON[self.tab]:
            return "nothing to mark here: the disks and events tabs have actions on several rows"
        refused = super().why_not(action)
        return self.console_refusal(action) if refused is None and action in CONSOLE_ACTIONS else refused

    def _offered(self) -> list[Action[Any]]:
        only = self.console_keys()
        return super()._offered() if only is None else only

    def present(self) -> Sequence[Action[Any]]:
        own = ONLY_ON.get(self.tab, ())
        elsewhere = {action for actions in ONLY_ON.values() for action in actions if action not in own}
        present = [action for action in self.ACTIONS if action not in elsewhere]
        return sorted(present, key=lambda action: action not in own)  # those of the tab first: they may not all fit

    def open_row(self) -> None:
        row = self.row
        if isinstance(row, ActivityEntry):
            if isinstance(self.pane, ActivityPane) and self.pane.open_itself(row):
                return self.refresh_frame()
            self.app.push_screen(Detail(f"{row.target}: {row.what}", detail_lines(row, self.session.now)))
        elif isinstance(row, DiskEntry) and row.volume is not None:
            self.run_worker(show_volume(self.app, self.session, self.glyphs, row.volume))
        elif row is not None:
            title, rows = disk_rows(row) if isinstance(row, DiskEntry) else nic_rows(row)
            self.app.push_screen(Detail(one_line(title), labelled((label, one_line(text)) for label, text in rows)))

    def crumbs(self) -> Sequence[str]:
        label = next(tab.label for tab in TABS if tab.name == self.tab)
        return [VMS.label, one_line(self._last.name), label]

    async def show_crash(self, vm: VM) -> None:
        """Read and show when and why the VM crashed."""
        try:
            crash = await self.session.client.call(vms.CRASH, vm_id=vm.id)
        except NovaCronError as e:
            self.say(f"{one_line(vm.name)}: {one_line(e.detail)}", "bad")
            return
        await self.show_dialog(Detail(f"{one_line(vm.name)} crashed", crash_lines(crash, self.session.now)))

    # -- drawing ---------------------------------------------------------------------------------------------------

    def refresh_body(self) -> None:
        vm = self.vm
        self._last = vm or self._last
        pane = self._panes.get(self.tab)
        if isinstance(pane, OverviewPane):
            pane.show(self._last, deleted=vm is None)
        elif isinstance(pane, MetricsPane):
            pane.refresh_data()
        elif isinstance(pane, ConsolePane):
            pane.refresh_line()
        else:
            super().refresh_body()
        self._bar.show(
            self._tab_pieces(), [Piece("tab", "key", 2, NEXT_TAB.key), Piece(" next tab ", "quiet", 2, NEXT_TAB.key)]
        )

    def _tab_pieces(self) -> list[Piece]:
        counts = {DISKS.name: len(self._last.disks), NETWORKS.name: len(self._last.nics)}
        pieces = [Piece(f"{one_line(self._last.name)}  ", "strong", 1)]
        for tab in TABS:
            count = f" {counts[tab.name]}" if counts.get(tab.name) else ""
            pieces.append(Piece(f" {tab.label}{count} ", "brand" if tab.name == self.tab else "quiet", 0, tab.name))
            pieces.append(Piece(" "))
        return pieces

    def wants(self) -> SampleRequest | None:
        return SampleRequest(targets=[self._last.id], heat=self.tab == DISKS.name)

    def hint(self) -> Sequence[Piece]:
        if self.vm is None:
            return [Piece(f"{one_line(self._last.name)} no longer exists: esc goes back to the list", "warn")]
        return super().hint()

    def list_hint(self) -> Sequence[Piece]:
        if isinstance(self.pane, DiskPane):
            return self.marked_hint("move and cancel apply to all of them, esc unmarks")
        if not isinstance(self.pane, ActivityPane):
            return ()
        return self.marked_hint("C cancels what runs, esc unmarks") or self.pane.hint()
