"""Storage: the tiers side by side, with volumes or pools below and their actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

from textual import events, on
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from novacron_core.api.events import SampleRequest
from novacron_core.api.pools import Pool
from novacron_core.rules.filters.language import FilterError
from novacron_tui.actions import Action, refusal
from novacron_tui.connection.session import Session
from novacron_tui.connection.store import ConnectionState
from novacron_tui.pools import tier_bars
from novacron_tui.pools.columns import columns as pool_columns
from novacron_tui.pools.filters import pool_filter
from novacron_tui.screens.base import BaseScreen
from novacron_tui.screens.filter_keys import FILTER_KEYS, run_filter_key
from novacron_tui.screens.global_actions import EVERYWHERE, STORAGE, bindings
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.volumes import detail
from novacron_tui.volumes.actions import COPY_ID, SET_TIER, VERBS, VolumeVerb, why_not_this
from novacron_tui.volumes.columns import columns as volume_columns
from novacron_tui.volumes.entries import VolumeEntry, entries
from novacron_tui.volumes.filters import volume_filter
from novacron_tui.volumes.perform import VolumeActionRunner
from novacron_tui.widgets.detail import Detail
from novacron_tui.widgets.filter_line import FilterLine
from novacron_tui.widgets.table import Table
from novacron_tui.widgets.text_bar import Piece, content

SAMPLE_INTERVAL_S = 5.0
OPEN = Action[Any]("open", "enter", "open", "Show details.", group="Storage", opens=True)
SWITCH = Action[Any](
    "switch",
    "tab",
    "pools, volumes",
    "Switch between volumes and pools.",
    needs_one=False,
    group="Storage",
)
FILTER = Action[Any](
    "filter", "/", "filter", "Filter as you type: a word, tier:hot, vm:web-*, size>10G, is:free, -not.",
    needs_one=False, group="Storage", opens=True,
)  # fmt: skip
SORT = Action[Any]("sort", "o", "sort", "Sort by the next column.", needs_one=False, group="Storage")
REVERSE = Action[Any]("turn", "O", "reverse", "Reverse the sort order.", needs_one=False, group="Storage")
BACK = Action[Any]("back", "escape", "back", "Go back.", needs_one=False, group="Storage")


class StorageScreen(BaseScreen):
    """Shows volumes or pools; the keys are those of the shown table."""

    ACTIONS: ClassVar[tuple[Action[Any], ...]] = (
        *VERBS, SET_TIER, OPEN, SWITCH, FILTER, SORT, REVERSE, BACK, *EVERYWHERE,
    )  # fmt: skip
    BINDINGS: ClassVar[list[BindingType]] = bindings(ACTIONS)
    HERE = STORAGE
    DEFAULT_CSS = """
    StorageScreen #tiers { height: 6; padding: 0 2; border-bottom: solid $rule; }
    StorageScreen #nothing { height: 1fr; content-align: center middle; text-align: center; display: none; }
    """

    def __init__(self, session: Session, glyphs: Glyphs) -> None:
        super().__init__(session, glyphs)
        signs = (glyphs.mark, glyphs.up, glyphs.down, glyphs.cut)
        many = len(session.store.hosts) > 1
        name = session.store.host_name
        self.volumes: Table[VolumeEntry] = Table(
            volume_columns(glyphs, name, many_hosts=many), lambda entry: entry.id, signs=signs, id="volumes"
        )
        self.pools: Table[Pool] = Table(
            pool_columns(glyphs, name, many_hosts=many), lambda pool: pool.id, signs=signs, id="pools"
        )
        self.filter = FilterLine(id="filter")
        self.performer = VolumeActionRunner(session, glyphs, self.ask, self._form, self.say)
        self._tiers = Static(id="tiers")
        self._nothing = Static(id="nothing")
        self._drawn: list[list[Piece]] = []
        self._filter_error = ""
        self._seen = -1
        self._on_pools = False

    def body(self) -> Widget:
        return Vertical(self._tiers, self.volumes, self.pools, self._nothing, self.filter)

    def on_mount(self) -> None:
        self._show_table()
        self.refresh_body()

    @property
    def table(self) -> Table[Any]:
        """The table that is shown."""
        return self.pools if self._on_pools else self.volumes

    def subject(self) -> Any:
        return self.table.row

    def why_not(self, action: Action[Any]) -> str | None:
        if action in (SORT, REVERSE) and not self.table.rows:
            return "nothing to sort"
        return why_not_this(action, self.subject()) or refusal(action, self.session, self.subject())

    def _offered(self) -> list[Action[Any]]:
        if self.filter.editing:
            return list(FILTER_KEYS)
        away = set(VERBS) if self._on_pools else {SET_TIER}
        return [action for action in super()._offered() if action not in away]

    def restore_from(self, before: Self) -> None:
        self._on_pools = before._on_pools
        self.volumes.restore_from(before.volumes)
        self.pools.restore_from(before.pools)
        self.filter.restore_from(before.filter)
        self.volumes.set_filter(None)
        self.pools.set_filter(None)
        self._apply_filter(self.filter.text)

    # -- drawing ---------------------------------------------------------------------------------------------------

    def refresh_body(self) -> None:
        store = self.session.store
        if store.version != self._seen:
            self._seen = store.version
            self.volumes.show(entries(store))
            self.pools.show(list(store.pools.values()))
        else:
            self.table.repaint()
        self._draw_tiers()
        self._show_table()
        self._show_count()

    def wants(self) -> SampleRequest | None:
        return SampleRequest(targets=[], interval_s=SAMPLE_INTERVAL_S, tiers=True)

    def on_resize(self, event: events.Resize) -> None:
        self._draw_tiers()

    def _draw_tiers(self) -> None:
        """Draw the tiers from the event stream, with the rates of their newest samples."""
        store = self.session.store
        shown = {name: tier_bars.with_rates(tier, store.samples.tier(name)) for name, tier in store.tiers.items()}
        drawn = tier_bars.lines(shown, max(30, self.size.width - 4), self.glyphs)
        if drawn != self._drawn:
            self._drawn = drawn
            self._tiers.update(Content("\n").join(content(line) for line in drawn))

    def _show_table(self) -> None:
        pieces = self._placeholder_pieces()
        self._nothing.update(content(pieces))
        self._nothing.display = bool(pieces)
        self.volumes.display = not pieces and not self._on_pools
        self.pools.display = not pieces and self._on_pools
        if not pieces and not self.filter.editing and not self.table.has_focus:
            self.table.focus()

    def _placeholder_pieces(self) -> list[Piece]:
        """What is shown instead of an empty table, with the next step."""
        store = self.session.store
        if store.connection is ConnectionState.LOADING:
            return [Piece("loading…", "quiet")]
        if self.table.rows:
            return []
        if self.filter.text:
            return [
                Piece("no row matches the filter\n\n", "strong"),
                Piece("esc", "key"),
                Piece(" clears the filter", "quiet"),
            ]
        if self._on_pools:
            return [Piece("no pools: no host has responded yet", "quiet")]
        return [Piece("no volumes yet\n\n", "strong"), Piece("c", "key"), Piece(" creates one; VM disks are created with their VM", "quiet")]  # fmt: skip

    def hint(self) -> Sequence[Piece]:
        if self._filter_error:
            return [Piece(f"{self.glyphs.bad} {self._filter_error}", "bad")]
        row = self.table.row
        if isinstance(row, VolumeEntry) and row.operation is not None:
            step = row.operation.step or row.operation.kind
            return [Piece(f"{self.glyphs.work} {one_line(row.volume.name)}: {one_line(step)}", "busy")]
        if isinstance(row, Pool) and row.shares_disk_with:
            return [Piece(f"{one_line(row.name)} shares its disk with {', '.join(map(one_line, row.shares_disk_with))}", "quiet")]  # fmt: skip
        store = self.session.store
        counts = f"{len(store.volumes):,} volumes", f"{len(store.pools):,} pools"
        here, there = reversed(counts) if self._on_pools else counts
        return [Piece(f"{here} {self.glyphs.dot} tab: {there}", "quiet")]

    # -- keys ------------------------------------------------------------------------------------------------------

    async def do(self, action: Action[Any]) -> None:
        if run_filter_key(action, self.filter):
            pass
        elif action is COPY_ID:
            self.app.copy_to_clipboard(self.subject().id)
            self.say(f"copied {self.subject().id}")
        elif isinstance(action, VolumeVerb):
            await self.performer.perform(action, self.volumes.row)
        elif action is SET_TIER and self.pools.row is not None:
            await self.performer.set_tier(self.pools.row)
        elif action is OPEN:
            self._open()
        else:
            self._do_navigation(action)
        self.refresh_frame()

    def _do_navigation(self, action: Action[Any]) -> None:
        if action is FILTER:
            self.clear_message()
            self.filter.open("name, or tier:hot size>10G is:free -test")
        elif action is SORT:
            self.table.sort_next()
        elif action is REVERSE:
            self.table.sort_by(self.table.sort_key)
        elif action is SWITCH:
            self._switch()
        elif action is BACK:
            self._back()

    def _switch(self) -> None:
        if self.filter.text:
            self.filter.action_clear()  # it belongs to the other table
        self._on_pools = not self._on_pools
        self._show_table()

    def _back(self) -> None:
        if self.filter.text:
            self.filter.action_clear()
        elif self._on_pools:
            self._switch()
        else:
            self.dismiss()

    async def _form(self, form: Any) -> object:
        return await self.app.push_screen_wait(form)

    @on(Table.Opened)
    def _open(self) -> None:
        row, name = self.table.row, self.session.store.host_name
        if isinstance(row, VolumeEntry):
            self.app.push_screen(Detail(one_line(row.volume.name), detail.of_volume(row, self.glyphs, name)))
        elif isinstance(row, Pool):
            self.app.push_screen(Detail(one_line(row.name), detail.of_pool(row, self.glyphs, name)))

    @on(Table.Moved)
    def _moved(self) -> None:
        self.refresh_frame()

    @on(FilterLine.Changed)
    def _filter(self, event: FilterLine.Changed) -> None:
        self._apply_filter(event.text)
        self._show_table()
        self._show_count()
        self.refresh_frame()

    def _apply_filter(self, text: str) -> None:
        """Apply filter text to the shown table."""
        try:
            if self._on_pools:
                self.pools.set_filter(pool_filter(text, self.session.store))
            else:
                self.volumes.set_filter(volume_filter(text, self.session.store))
        except FilterError as e:
            self._filter_error = str(e)
        else:
            self._filter_error = ""

    @on(FilterLine.Closed)
    def _filter_closed(self) -> None:
        self._show_table()
        self.table.focus()

    def _show_count(self) -> None:
        store = self.session.store
        total = len(store.pools if self._on_pools else store.volumes)
        if self._filter_error:
            self.filter.show_note("invalid filter", "bad")
        else:
            self.filter.show_note(f"{len(self.table.rows):,} of {total:,}")
