"""The metrics tab of a VM: its CPU, memory, disk and network over time."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical

from novacron_core.api.history import History
from novacron_core.api.vms import VM
from novacron_core.errors import NovaCronError
from novacron_tui.connection.session import Session
from novacron_tui.metrics import charts
from novacron_tui.metrics.charts import SPANS
from novacron_tui.metrics.reading import read_history
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.widgets.lines import LinesView
from novacron_tui.widgets.text_bar import Piece, spread

MIN_CHART_HEIGHT = 6
FOUR_CHARTS_HEIGHT = 2 * MIN_CHART_HEIGHT + 2
"""From this height on there are four charts; below it the first two."""


class MetricsPane(Vertical):
    """Reads the history at the interval of its range while it is shown."""

    DEFAULT_CSS = """
    MetricsPane { height: 1fr; padding: 0 2; }
    MetricsPane #head { height: 1; margin-bottom: 1; }
    """

    def __init__(self, session: Session, glyphs: Glyphs, vm: VM) -> None:
        super().__init__()
        self._session, self._glyphs, self._vm = session, glyphs, vm
        self._head, self._charts = LinesView(id="head"), LinesView(id="charts")
        self._history: History | None = None
        self._error = ""
        self._wake = asyncio.Event()
        self.span = 0

    def compose(self) -> ComposeResult:
        yield self._head
        yield self._charts

    def on_mount(self) -> None:
        self.run_worker(self._read(), group="history", exclusive=True)

    def on_show(self) -> None:
        self._wake.set()

    def on_resize(self, event: events.Resize) -> None:
        self.refresh_data()

    def next_range(self) -> None:
        """Show the next time range."""
        self.span = (self.span + 1) % len(SPANS)
        self._history = None
        self._wake.set()
        self.refresh_data()

    async def _read(self) -> None:
        """Read until the pane is closed: when it is shown, when the range changes, and at the range's interval."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(SPANS[self.span].every_s):
                    await self._wake.wait()
            self._wake.clear()
            if self.display:
                await self._read_once()
                self.refresh_data()

    async def _read_once(self) -> None:
        span, session = SPANS[self.span], self._session
        try:
            read = await read_history(session.client, f"vm:{self._vm.id}", span, session.now, self.size.width)
        except NovaCronError as e:
            self._error = one_line(e.detail)  # keep showing the old data
            return
        if span is SPANS[self.span]:
            self._history, self._error = read, ""

    def refresh_data(self) -> None:
        """Draw the newest values and the history."""
        width, height = self.size.width - 4, self.size.height - 2
        if not self.display or width < 30 or height < MIN_CHART_HEIGHT:
            return
        vm = self._session.store.vms.get((self._vm.host, self._vm.id), self._vm)
        sample = self._session.store.samples.of(vm)
        words = charts.vm_use(vm, sample)
        if self._error:
            words = [Piece(f"{self._glyphs.bad} {self._error}", "bad")]
        self._head.show([spread(words, charts.span_pieces(self.span), width)])
        rows = 2 if height >= FOUR_CHARTS_HEIGHT else 1
        newest = charts.newest_of(sample)
        self._charts.show(
            charts.charts(self._history, newest, SPANS[self.span], width, rows, height // rows, self._glyphs)
        )
