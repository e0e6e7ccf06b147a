"""Metrics: usage of the fleet or a host over time, top VMs and a heat map; live, unless paused."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar, Self

from textual import events, on
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Static

from novacron_core.api import history, samples
from novacron_core.api import usage as api
from novacron_core.api.events import SampleRequest
from novacron_core.api.vms import VM
from novacron_core.errors import NovaCronError
from novacron_core.values.ages import age_s, age_text
from novacron_tui.actions import Action
from novacron_tui.connection.session import Session
from novacron_tui.connection.store import ConnectionState, VMKey, key_of
from novacron_tui.metrics import charts
from novacron_tui.metrics.actions import RANGE
from novacron_tui.metrics.charts import RANKS, SPANS
from novacron_tui.metrics.heat_map import HeatMap, legend
from novacron_tui.metrics.reading import read_history
from novacron_tui.screens.base import BaseScreen
from novacron_tui.screens.global_actions import EVERYWHERE, METRICS_SCREEN, VMS, bindings
from novacron_tui.screens.navigation import Go
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.widgets.lines import LinesView
from novacron_tui.widgets.text_bar import Piece, content, fitted

MIN_READ_GAP_S, MAX_READ_GAP_S = 1.0, 10.0
"""Minimum and maximum seconds between two reads of the totals. Each host is sampled at its own time and would trigger a
read."""
FOUR_CHARTS_HEIGHT = 30
"""Minimum height in lines for four charts; below that there are two."""
MAX_CHARTS_PERCENT = 75
"""Maximum share of the height for the charts."""

# fmt: off
SUBJECT = Action[Any](
    "subject", "tab", "host", "Show the fleet, then each host.", needs_one=False, group="Metrics",
    run=lambda screen, _: screen.next_subject(),
)
RANK = Action[Any](
    "rank", "o", "top by", "Rank by CPU, memory, disk or network.", needs_one=False, group="Metrics",
    only_view=True, run=lambda screen, _: screen.next_rank(),
)
PAUSE = Action[Any](
    "pause", "p", "pause", "Pause or resume updates.", needs_one=False, group="Metrics",
    only_view=True, run=lambda screen, _: screen.pause(),
)
OPEN = Action[Any](
    "open", "enter", "go to VM", "Go to the VM under the cursor in the list.", group="Metrics", opens=True,
    run=lambda screen, _: screen.go_to_vm(),
)
BACK = Action[Any](
    "back", "escape", "back", "Go back.", needs_one=False, group="Metrics", run=lambda screen, _: screen.leave(),
)
# fmt: on


class MetricsScreen(BaseScreen):
    """Reads the history periodically and follows the samples of all VMs while it is open."""

    ACTIONS: ClassVar[tuple[Action[Any], ...]] = (OPEN, SUBJECT, RANGE, RANK, PAUSE, BACK, *EVERYWHERE)
    BINDINGS: ClassVar[list[BindingType]] = bindings(ACTIONS)
    HERE = METRICS_SCREEN
    DEFAULT_CSS = """
    MetricsScreen #head { height: 1; padding: 0 2; }
    MetricsScreen #charts { height: auto; padding: 0 2; }
    MetricsScreen #below { height: 1fr; padding: 0 2; }
    MetricsScreen #top { width: 1fr; }
    MetricsScreen #map { width: 1fr; padding-left: 3; }
    MetricsScreen #maptitle { height: 1; }
    """

    def __init__(self, session: Session, glyphs: Glyphs) -> None:
        super().__init__(session, glyphs)
        self.heat = HeatMap(plain=glyphs.ascii, id="heat")
        self._head = Static(id="head")
        self._charts, self._users = LinesView(id="charts"), LinesView(id="users")
        self._span = self._rank = 0
        self._host = ""
        self._vms: dict[VMKey, tuple[VM, samples.VMSample | None]] = {}
        self._now: api.FleetUsage | None = None
        self._history: history.History | None = None
        self._history_due = 0.0
        self._read_error = ""
        self._paused_at: datetime | None = None
        self._read_requested, self._new_samples = asyncio.Event(), asyncio.Event()
        self._seen: tuple[int, int] = (-1, -1)

    def body(self) -> Widget:
        title = Static(content(legend(plain=self.glyphs.ascii)), id="maptitle")
        below = Horizontal(Vertical(self._users, id="top"), Vertical(title, self.heat, id="map"), id="below")
        return Vertical(self._head, self._charts, below)

    def on_mount(self) -> None:
        self.heat.focus()
        self.run_worker(self._read(), group="history", exclusive=True)

    def subject(self, action: Action[Any] | None = None) -> VM | None:
        return self.session.store.vms.get(self.heat.vm) if self.heat.vm else None

    def wants(self) -> SampleRequest | None:
        return None if self._paused else SampleRequest()

    def restore_from(self, before: Self) -> None:
        """Take over range, host, rank and VM. Data is taken over only when paused; otherwise it is read again."""
        self._span, self._rank, self._host = before._span, before._rank, before._host
        self._paused_at = before._paused_at
        self.heat.restore_from(before.heat)
        if self._paused:
            self._now, self._history, self._vms = before._now, before._history, before._vms
        self.read_again()

    # -- reading ---------------------------------------------------------------------------------------------------

    @property
    def span(self) -> charts.Span:
        return SPANS[self._span]

    @property
    def _paused(self) -> bool:
        return self._paused_at is not None

    @property
    def host(self) -> str:
        """The id of the shown host; empty for the fleet."""
        return self._host if self._host in self.session.store.hosts else ""

    def _next_host(self) -> str:
        hosts = sorted(self.session.store.hosts.values(), key=lambda host: (host.name, host.id))
        subjects = ["", *(host.id for host in hosts)]
        return subjects[(subjects.index(self.host) + 1) % len(subjects)]

    async def _read(self) -> None:
        """Read the totals whenever there are new samples, and the history at the interval of its range. Runs until the
        screen is closed."""
        while True:
            self._read_requested.clear()
            self._new_samples.clear()
            if (
                not self._paused or self._history is None
            ):  # a new range or host while paused is read once, as of the pause
                await self._read_once()
                self._draw()
            if not await _wait_for(self._read_requested, MIN_READ_GAP_S):
                await _wait_for(self._new_samples, MAX_READ_GAP_S)

    def read_again(self) -> None:
        """Read totals and history now."""
        self._history_due = 0.0
        self._read_requested.set()
        self._new_samples.set()

    async def _read_once(self) -> None:
        client, to = self.session.client, self._paused_at or self.session.now
        subject = f"host:{self.host}" if self.host else "fleet"
        requested = (self._span, self.host, self._paused_at)
        try:
            now = self._now if self._now and self._paused else await client.call(api.NOW)
            read = self._history
            if is_due := (began := asyncio.get_running_loop().time()) >= self._history_due:
                read = await read_history(client, subject, self.span, to, self.size.width)
        except NovaCronError as e:
            self._read_error = one_line(e.detail)  # keep showing the old data; the top line shows its age
            return
        self._read_error = ""
        if requested != (self._span, self.host, self._paused_at):
            return  # another range, host or pause was chosen meanwhile
        self._now, self._history = now, read
        if is_due:
            self._history_due = began + self.span.every_s

    # -- drawing ---------------------------------------------------------------------------------------------------

    def refresh_body(self) -> None:
        store = self.session.store
        seen = (store.version, store.samples.version)
        if seen != self._seen and not self._paused:
            if seen[1] != self._seen[1]:
                self._new_samples.set()
            self._seen = seen
            self._draw_vms()
        self._draw_head()

    def on_resize(self, event: events.Resize) -> None:
        self._draw()

    def _draw(self) -> None:
        self._draw_head()
        width, height = self.size.width - 4, self.size.height - 4
        rows = 2 if height >= FOUR_CHARTS_HEIGHT else 1
        each = max(6, self._charts_height(rows, width, height) // rows)
        if width > 30 and height > 8:
            newest = charts.newest(self._now, self._host_now())
            self._charts.show(charts.charts(self._history, newest, self.span, width, rows, each, self.glyphs))
        self._draw_vms()

    def _charts_height(self, rows: int, width: int, height: int) -> int:
        """Lines for the charts: more than their share when there are few VMs below."""
        vms = sum(not self.host or vm.host == self.host for vm in self.session.store.vms.values())
        below = max(min(vms, height), 2 * vms // width) + 2
        share = 60 if rows == 2 else 45
        return max(height * share // 100, min(height * MAX_CHARTS_PERCENT // 100, height - below))

    def _host_now(self) -> api.HostUsage | None:
        return next((host for host in self._now.hosts if host.host == self.host), None) if self._now else None

    def _draw_head(self) -> None:
        line = charts.totals(self._now, self._host_now(), self.glyphs)
        if self._read_error:
            line = [Piece(f"{self.glyphs.bad} {self._read_error}", "bad")]
        spans = charts.span_pieces(self._span)
        if self._paused:
            age = age_text(age_s(self._now.time, self.session.now)) if self._now else ""
            spans = [Piece(f" PAUSED {age} ago ", "alarm"), *spans]
        width = self.size.width - 4
        line, spans = fitted(line, spans, width)
        room = width - sum(len(piece.text) for piece in spans)
        text = content(line).truncate(max(1, room), ellipsis=True, pad=True)
        self._head.update(text + content(spans))

    def _draw_vms(self) -> None:
        store = self.session.store
        if not self._paused:
            vms = sorted(store.vms.values(), key=lambda vm: (vm.name, vm.id))
            self._vms = {key_of(vm): (vm, store.samples.of(vm)) for vm in vms}
        samples = [(vm, sample) for vm, sample in self._vms.values() if not self.host or vm.host == self.host]
        self.heat.show([(key_of(vm), sample.cpu_percent if sample else None) for vm, sample in samples])
        below = max(3, self.size.height - 5 - len(self._charts.lines))
        known = [(vm, sample) for vm, sample in samples if sample is not None]
        width = max(20, (self.size.width - 4) // 2 - 1)
        self._users.show(charts.top(known, RANKS[self._rank], width, below, self.glyphs))

    def hint(self) -> Sequence[Piece]:
        store, vm = self.session.store, self.subject()
        if store.connection is ConnectionState.OFFLINE:
            return [Piece("offline: showing the last received values", "warn")]
        if vm is None:
            return [Piece("no VMs yet: press 1, then c to create one", "quiet")]
        held = self._vms.get(key_of(vm))
        return charts.vm_hint(vm, held[1] if held else None, store.host_name(vm.host))

    # -- what the actions run --------------------------------------------------------------------------------------

    def next_range(self) -> None:
        """Show the next time range."""
        self._span = (self._span + 1) % len(SPANS)
        self._show_other_history()

    def next_subject(self) -> None:
        """Show the next host, after the last one the fleet."""
        self._host = self._next_host()
        self._show_other_history()

    def _show_other_history(self) -> None:
        self._history = None
        self.read_again()
        self._draw()

    def next_rank(self) -> None:
        """Rank by the next metric."""
        self._rank = (self._rank + 1) % len(RANKS)
        self._draw()

    def pause(self) -> None:
        """Stop the updates, or resume them."""
        self._paused_at = None if self._paused else self.session.now
        self.request_samples()
        self.read_again()
        self._draw()

    @on(HeatMap.Opened)
    def go_to_vm(self) -> None:
        """Show the VM under the cursor in the list."""
        if self.heat.vm is not None:
            self.app.post_message(Go(VMS.name, self.heat.vm))

    @on(HeatMap.Moved)
    def _moved(self) -> None:
        self.refresh_frame()


async def _wait_for(event: asyncio.Event, seconds: float) -> bool:
    """Whether the event was set within `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
