"""The overview tab of a VM: everything that matters at a glance."""

from __future__ import annotations

from textual.containers import Container, Vertical, VerticalScroll
from textual.content import Content

from novacron_core.api.vms import VM
from novacron_tui.connection.session import Session
from novacron_tui.console_logs.last_words import LastWords
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.vms import page
from novacron_tui.vms.live import usage_lines
from novacron_tui.widgets.lines import LinesView

SHOWN_OPERATIONS, SHOWN_EVENTS = 8, 12


class Section(LinesView):
    """A titled box of lines."""

    DEFAULT_CSS = """
    Section { height: auto; width: 1fr; border: round $rule; border-title-color: $accent; padding: 0 1;
        text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(self, title: str, *, id: str) -> None:
        super().__init__(id=id)
        self.border_title = title


class OverviewPane(VerticalScroll):
    """Properties, resources, disks, networks, operations with their reasons, events."""

    DEFAULT_CSS = """
    OverviewPane { height: 1fr; padding: 0 1; scrollbar-size-vertical: 1; }
    OverviewPane #columns { height: auto; layout: vertical; }
    OverviewPane .column { height: auto; width: 1fr; }
    OverviewPane #last-words-below, OverviewPane #last-words-beside { display: none; }
    OverviewPane.-words #last-words-below { display: block; }
    """

    def __init__(self, session: Session, glyphs: Glyphs) -> None:
        self._session, self._glyphs = session, glyphs
        self._overview = Section("Overview", id="overview")
        self._use = Section("Resources", id="use")
        self._disks = Section("Disks", id="disks")
        self._nics = Section("Network", id="nics")
        self._operations = Section("Operations", id="operations")
        self._events = Section("Events", id="events")
        self._words = LastWords(session)
        # In one column right below the state, in two beside it: there it needs no scrolling.
        self._last = [Section("Last words on the console", id=f"last-words-{where}") for where in ("below", "beside")]
        left = Vertical(self._overview, self._last[0], self._use, self._disks, self._nics, classes="column")
        right = Vertical(self._last[1], self._operations, self._events, classes="column")
        super().__init__(Container(left, right, id="columns"), id="scroll")

    def show(self, vm: VM, *, deleted: bool) -> None:
        """Show the VM as it is now, or as it was before it was deleted."""
        store, now, glyphs = self._session.store, self._session.now, self._glyphs
        self._overview.border_title = Content(f"{one_line(vm.name)}{'  (deleted)' if deleted else ''}")
        self._overview.show(page.overview(vm, now, glyphs, store.host_name))
        self._show_last_words(vm, deleted=deleted)
        self._use.show(usage_lines(vm, store.samples, glyphs))
        self._disks.show(page.disks(vm, glyphs))
        self._nics.show(page.nics(vm, glyphs))
        self._operations.show(page.operations(store.operations_of(vm.id)[:SHOWN_OPERATIONS], now, glyphs))
        self._events.show(page.event_lines(store.events_of(vm), now)[:SHOWN_EVENTS])

    def _show_last_words(self, vm: VM, *, deleted: bool) -> None:
        """Only of a VM that is off: a running one has its log."""
        shown = not deleted and self._words.shown(vm)
        self.set_class(shown, "-words")
        if not shown:
            return
        if self._words.wanted(vm):
            self.run_worker(self._read_last_words(vm), group="last-words", exclusive=True)
        self._draw_last_words(vm)

    async def _read_last_words(self, vm: VM) -> None:
        await self._words.read(vm)
        self._draw_last_words(vm)

    def _draw_last_words(self, vm: VM) -> None:
        for section in self._last:
            section.show(self._words.lines(vm, self._session.now))
