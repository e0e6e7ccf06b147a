"""Storage: the tiers side by side, with volumes or pools below and their actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

from textual import events
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widget import Widget

from novacron_core.api.events import SampleRequest
from novacron_core.api.hosts import HostStatus
from novacron_core.api.pools import Pool
from novacron_core.api.samples import TierSample
from novacron_core.api.tiers import Tier
from novacron_core.values.counts import counted
from novacron_tui.actions import Action
from novacron_tui.connection.session import Session
from novacron_tui.pools import actions as pool_actions
from novacron_tui.pools import tier_bars
from novacron_tui.pools.detail import of_pool
from novacron_tui.pools.pane import PoolPane
from novacron_tui.screens.global_actions import EVERYWHERE, STORAGE, bindings
from novacron_tui.screens.list_screen import BACK, MARK, MARK_ALL, REVERSE, SORT, ListScreen, filter_action, open_action
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.volumes import actions as volume_actions
from novacron_tui.volumes.detail import of_volume
from novacron_tui.volumes.entries import VolumeEntry
from novacron_tui.volumes.pane import VolumePane
from novacron_tui.widgets.detail import Detail
from novacron_tui.widgets.lines import LinesView
from novacron_tui.widgets.table import Table
from novacron_tui.widgets.text_bar import Piece

SAMPLE_INTERVAL_S = 5.0
OPEN = open_action("Show details.")
SWITCH = Action[Any](
    "switch", "tab", "pools, volumes", "Switch between volumes and pools.", needs_one=False, group="List",
    run=lambda screen, _: screen.switch(),
)  # fmt: skip
FILTER = filter_action("a word, tier:hot, vm:web-*, size>10G, is:free, -not.")


class StorageScreen(ListScreen):
    """Shows volumes or pools; the keys are those of the shown list."""

    ACTIONS: ClassVar[tuple[Action[Any], ...]] = (
        OPEN, SWITCH, FILTER, MARK, SORT, pool_actions.SET_TIER, *volume_actions.VERBS, pool_actions.COPY_ID, MARK_ALL, REVERSE, BACK,
        *EVERYWHERE,
    )  # fmt: skip
    BINDINGS: ClassVar[list[BindingType]] = bindings(ACTIONS)
    HERE = STORAGE
    ONE_AT_A_TIME = (*volume_actions.ONE_AT_A_TIME, pool_actions.SET_TIER)
    DEFAULT_CSS = """
    StorageScreen #tiers { height: 6; padding: 0 2; border-bottom: solid $rule; }
    """

    def __init__(self, session: Session, glyphs: Glyphs) -> None:
        super().__init__(session, glyphs)
        self.volume_pane, self.pool_pane = VolumePane(session, glyphs), PoolPane(session, glyphs)
        self._tiers = LinesView(id="tiers")
        self._on_pools = False

    def body(self) -> Widget:
        return Vertical(self._tiers, self.volume_pane, self.pool_pane)

    def on_mount(self) -> None:
        self._show_pane()
        self.refresh_body()

    @property
    def pane(self) -> VolumePane | PoolPane:
        return self.pool_pane if self._on_pools else self.volume_pane

    @property
    def volumes(self) -> Table[VolumeEntry]:
        """The table of volumes."""
        return self.volume_pane.table

    @property
    def pools(self) -> Table[Pool]:
        """The table of pools."""
        return self.pool_pane.table

    def subject(self, action: Action[Any]) -> VolumeEntry | Pool | None:
        """The row, if the action is one on rows of the shown list; of marked ones the first that allows it."""
        away = volume_actions.VERBS if self._on_pools else pool_actions.VERBS
        if action in away:
            return None
        rows = self.subjects(action) if action in volume_actions.OF_MANY else ()
        chosen: VolumeEntry | Pool | None = self.first_allowed(action, rows) or self.row
        return chosen

    def subjects(self, action: Action[Any]) -> Sequence[Any]:
        """The marked rows, or else the one under the cursor."""
        if not action.needs_one:
            return ()
        return self.table.marked() or ([self.row] if self.row is not None else [])

    def why_not(self, action: Action[Any]) -> str | None:
        if self._on_pools and action in volume_actions.VERBS and action.needs_one:
            return "not available for pools: tab shows the volumes"
        if not self._on_pools and action in pool_actions.VERBS:
            return "not available for volumes: tab shows the pools"
        return super().why_not(action)

    def present(self) -> Sequence[Action[Any]]:
        away = volume_actions.VERBS if self._on_pools else pool_actions.VERBS
        return [action for action in self.ACTIONS if action not in away]

    def restore_from(self, before: Self) -> None:
        self._on_pools = before._on_pools
        self.volume_pane.restore_from(before.volume_pane)
        self.pool_pane.restore_from(before.pool_pane)

    def crumbs(self) -> Sequence[str]:
        return [STORAGE.label, "pools"] if self._on_pools else ()

    # -- drawing ---------------------------------------------------------------------------------------------------

    def refresh_body(self) -> None:
        super().refresh_body()
        self._draw_tiers()

    def wants(self) -> SampleRequest | None:
        return SampleRequest(targets=[], interval_s=SAMPLE_INTERVAL_S, tiers=True)

    def on_resize(self, event: events.Resize) -> None:
        self._draw_tiers()

    def _rates(self, tier: Tier) -> TierSample:
        """The newest sample of a tier; an empty one when no host of its pools responds."""
        store = self.session.store
        hosts = {pool.host for pool_id in tier.pools if (pool := store.pools.get(pool_id))}
        up = any(host.status is HostStatus.UP for host in store.hosts.values() if host.id in hosts)
        return store.samples.tier(tier.name) if up or not hosts else TierSample()

    def _draw_tiers(self) -> None:
        """Draw the tiers from the event stream, with the rates of their newest samples."""
        store = self.session.store
        shown = {name: tier_bars.with_rates(tier, self._rates(tier)) for name, tier in store.tiers.items()}
        self._tiers.show(tier_bars.lines(shown, max(30, self.size.width - 4), self.glyphs))

    def list_hint(self) -> Sequence[Piece]:
        acts = "y copies their ids" if self._on_pools else "move, cancel, delete and copy apply to all of them"
        if marked := self.marked_hint(acts):
            return marked
        if hint := self.pane.hint():
            return hint
        store = self.session.store
        counts = counted(len(store.volumes), "volume"), counted(len(store.pools), "pool")
        here, there = reversed(counts) if self._on_pools else counts
        return [Piece(f"{here} {self.glyphs.dot} tab: {there}", "quiet")]

    # -- what the actions run --------------------------------------------------------------------------------------

    def switch(self) -> None:
        """Show the other list; each keeps its filter."""
        self._on_pools = not self._on_pools
        self._show_pane()
        self.refresh_body()

    def _show_pane(self) -> None:
        self.volume_pane.display, self.pool_pane.display = not self._on_pools, self._on_pools
        self.pane.focus_list()

    def go_back(self) -> None:
        """Clear the filter; then go back to the volumes; then leave."""
        if self._on_pools and not self.filter.text and not self.pool_pane.table.marks:
            self.clear_message()
            self.switch()
        else:
            super().go_back()

    def open_row(self) -> None:
        row, name = self.row, self.session.store.host_name
        if isinstance(row, VolumeEntry):
            self.app.push_screen(Detail(one_line(row.volume.name), of_volume(row, self.glyphs, name)))
        elif isinstance(row, Pool):
            self.app.push_screen(Detail(one_line(row.name), of_pool(row, name)))
