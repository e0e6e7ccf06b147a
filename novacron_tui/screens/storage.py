"""Storage: the tiers side by side, with volumes, pools or advice below and their actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

from textual import events, work
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widget import Widget

from novacron_core.api import automatic, tiering
from novacron_core.api.automatic import StorageDecision
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
from novacron_tui.screens.list_screen import BACK, MARK, MARK_ALL, REVERSE, SORT, filter_action, open_action
from novacron_tui.screens.read_screen import ReadScreen
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.tiering import actions as advice_actions
from novacron_tui.tiering.automatic import AUTOMATIC, decision_details
from novacron_tui.tiering.decision_pane import DecisionPane
from novacron_tui.tiering.entries import AdviceEntry
from novacron_tui.tiering.pane import AdvicePane
from novacron_tui.tiering.perform import details
from novacron_tui.tiering.reading import StorageData
from novacron_tui.volumes import actions as volume_actions
from novacron_tui.volumes.entries import VolumeEntry
from novacron_tui.volumes.opening import show_volume
from novacron_tui.volumes.pane import VolumePane
from novacron_tui.widgets.detail import Detail
from novacron_tui.widgets.lines import LinesView
from novacron_tui.widgets.table import Table
from novacron_tui.widgets.text_bar import Piece

SAMPLE_INTERVAL_S = 5.0
Pane = VolumePane | PoolPane | AdvicePane | DecisionPane
Row = VolumeEntry | Pool | AdviceEntry | StorageDecision
_MARKED = {
    "volumes": "move, pin, cancel, delete and copy apply to all of them",
    "advice": "move and pin apply to all of them",
    "pools": "y copies their ids",
    "decisions": "no action applies to several",
}
OPEN = open_action("Show details.")
SWITCH = Action[Any](
    "switch", "tab", "next list", "Go on to the advice, the pools, the decisions, the volumes.", needs_one=False,
    group="List",
    run=lambda screen, _: screen.switch(),
)  # fmt: skip
ADVICE = Action[Any](
    "advice", "", "advice", "Which volumes should move between tiers, and why.", tiering.ADVICE, needs_one=False,
    group="List", run=lambda screen, _: screen.show_list("advice"), command="storage advice",
)  # fmt: skip
DECISIONS = Action[Any](
    "decisions", "", "decisions", "Which moves the server made by itself, which not, and why.", automatic.DECISIONS,
    needs_one=False, group="List", run=lambda screen, _: screen.show_list("decisions"), command="storage decisions",
)  # fmt: skip
LISTS = ("volumes", "advice", "pools", "decisions")
FILTER = filter_action("a word, tier:hot, vm:web-*, heat>10, idle>7d, size>10G, is:free, -not.")
VOLUME_VERBS = (*volume_actions.VERBS, advice_actions.PIN, advice_actions.TOGETHER)
OF_LIST: dict[str, tuple[Action[Any], ...]] = {
    "volumes": VOLUME_VERBS,
    "advice": advice_actions.VERBS,
    "pools": pool_actions.VERBS,
}
"""The actions that each list alone has."""
OF_MANY = (*volume_actions.OF_MANY, advice_actions.PIN, advice_actions.TOGETHER, *advice_actions.OF_MANY)


class StorageScreen(ReadScreen):
    """Shows volumes, advice, pools or decisions; the keys are those of the shown list."""

    ACTIONS: ClassVar[tuple[Action[Any], ...]] = (
        OPEN, SWITCH, FILTER, MARK, SORT, pool_actions.SET_TIER, *VOLUME_VERBS, *advice_actions.VERBS, pool_actions.COPY_ID,
        AUTOMATIC, ADVICE, DECISIONS, MARK_ALL, REVERSE, BACK, *EVERYWHERE,
    )  # fmt: skip
    BINDINGS: ClassVar[list[BindingType]] = bindings(ACTIONS)
    HERE = STORAGE
    ONE_AT_A_TIME = (*volume_actions.ONE_AT_A_TIME, pool_actions.SET_TIER, advice_actions.DISMISS, AUTOMATIC)
    DEFAULT_CSS = """
    StorageScreen #tiers { height: 6; padding: 0 2; border-bottom: solid $rule; }
    """

    data: StorageData

    def __init__(self, session: Session, glyphs: Glyphs) -> None:
        super().__init__(session, glyphs)
        self.data = StorageData()
        self.volume_pane, self.pool_pane = VolumePane(session, glyphs), PoolPane(session, glyphs)
        self.advice_pane = AdvicePane(session, glyphs, self.data.advice)
        self.decision_pane = DecisionPane(session, glyphs, self.data.automatic)
        self._tiers = LinesView(id="tiers")
        self._shown = LISTS[0]

    def body(self) -> Widget:
        return Vertical(self._tiers, *self._panes().values())

    def on_mount(self) -> None:
        super().on_mount()
        self._show_pane()
        self.refresh_body()

    @property
    def pane(self) -> Pane:
        return self._panes()[self._shown]

    def lists(self) -> Sequence[Pane]:
        return list(self._panes().values())

    def _panes(self) -> dict[str, Pane]:
        return dict(zip(LISTS, (self.volume_pane, self.advice_pane, self.pool_pane, self.decision_pane), strict=True))

    @property
    def volumes(self) -> Table[VolumeEntry]:
        """The table of volumes."""
        return self.volume_pane.table

    @property
    def pools(self) -> Table[Pool]:
        """The table of pools."""
        return self.pool_pane.table

    def subject(self, action: Action[Any]) -> Row | None:
        """The row, if the action is one on rows of the shown list; of marked ones the first that allows it."""
        if self._list_of(action) not in ("", self._shown):
            return None
        rows = self.subjects(action) if action in OF_MANY else ()
        chosen: Row | None = self.first_allowed(action, rows) or self.row
        return chosen

    def _list_of(self, action: Action[Any]) -> str:
        """The list that alone has an action; empty for one of all."""
        return next((name for name, actions in OF_LIST.items() if action in actions), "")

    def subjects(self, action: Action[Any]) -> Sequence[Any]:
        """The marked rows, or else the one under the cursor."""
        if not action.needs_one:
            return ()
        return self.table.marked() or ([self.row] if self.row is not None else [])

    def why_not(self, action: Action[Any]) -> str | None:
        own = self._list_of(action)
        if own not in ("", self._shown) and (action.needs_one or own != "volumes"):
            return f"not available for {self._shown}: tab shows the {own}"
        return super().why_not(action)

    def present(self) -> Sequence[Action[Any]]:
        missing = (MARK, MARK_ALL) if self._shown == "decisions" else ()
        return [each for each in self.ACTIONS if self._list_of(each) in ("", self._shown) and each not in missing]

    def restore_from(self, before: Self) -> None:
        self._shown = before._shown
        self.data = before.data
        self.advice_pane.data, self.decision_pane.data = before.data.advice, before.data.automatic
        for name, pane in self._panes().items():
            pane.restore_from(before._panes()[name])  # type: ignore[arg-type]  # the same list of another screen

    def crumbs(self) -> Sequence[str]:
        return () if self._shown == LISTS[0] else [STORAGE.label, self._shown]

    # -- drawing ---------------------------------------------------------------------------------------------------

    def refresh_body(self) -> None:
        super().refresh_body()
        self._draw_tiers()

    def wants(self) -> SampleRequest | None:
        return SampleRequest(targets=[], interval_s=SAMPLE_INTERVAL_S, tiers=True, heat=True)

    def read_again(self) -> None:
        super().read_again()
        if self.is_mounted:
            self._read_policy()

    @work(exclusive=True, group="policy")
    async def _read_policy(self) -> None:
        before = self.session.policy.version
        await self.session.read_policy()
        if self.session.policy.version != before:
            self.refresh_body()

    def reload(self) -> None:
        self.session.policy.forget()
        super().reload()

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
        self._tiers.show(tier_bars.lines(shown, max(30, self.size.width - 4), self.glyphs, self.session.policy.value))

    def notes(self) -> Sequence[Piece]:
        """At the advice also what the volumes cost, and what following it saves, where prices are declared."""
        notes = [*super().notes()]
        if self._shown not in ("advice", "decisions"):
            return notes
        advice, own = self.data.advice, self.data.automatic.pieces(self.glyphs)
        if self._shown == "advice" and advice.cost_month is not None:
            less = f", {advice.saves_month:,.2f} less by all moves" if advice.saves_month else ""
            notes.append(Piece(f"{advice.cost_month:,.2f} a month{less} ", "quiet", 2 if own else 1))
        return [*notes, *(Piece(f"{piece.text}  ", piece.tone, 1) for piece in own)]

    def list_hint(self) -> Sequence[Piece]:
        if marked := self.marked_hint(_MARKED[self._shown]):
            return marked
        advice = self.data.advice
        reads = {"advice": (advice.error, advice.loaded), "decisions": self.data.automatic.problem}
        error, loaded = reads.get(self._shown, ("", False))
        if error and loaded:
            return [Piece(f"{self.glyphs.bad} {error}", "bad"), Piece("  what is shown may be old", "quiet")]
        if hint := self.pane.hint():
            return hint
        counts = {
            "volumes": counted(len(self.session.store.volumes), "volume"),
            "advice": f"{counted(advice.ready, 'move')} advised" if advice.loaded else "advice",
            "pools": counted(len(self.session.store.pools), "pool"),
            "decisions": "decisions",
        }
        there = counts[self._next]
        tone = "accent" if self._next == "advice" and advice.ready else "quiet"
        return [Piece(f"{counts[self._shown]} {self.glyphs.dot} tab: ", "quiet"), Piece(there, tone)]

    # -- what the actions run --------------------------------------------------------------------------------------

    @property
    def _next(self) -> str:
        """The list that follows."""
        return LISTS[(LISTS.index(self._shown) + 1) % len(LISTS)]

    def switch(self) -> None:
        """Show the next list; each keeps its filter."""
        self.show_list(self._next)

    def show_list(self, name: str) -> None:
        """Show one of LISTS."""
        self._shown = name
        self._show_pane()
        self.refresh_body()
        if name == "decisions":
            self.read_again()

    def _show_pane(self) -> None:
        self.data.automatic.wanted = self._shown == "decisions"
        for name, pane in self._panes().items():
            pane.display = name == self._shown
        self.pane.focus_list()

    def go_back(self) -> None:
        """Clear the filter; then go back to the volumes; then leave."""
        if self._shown != LISTS[0] and not self.filter.text and not self.pane.table.marks:
            self.clear_message()
            self.show_list(LISTS[0])
        else:
            super().go_back()

    def open_row(self) -> None:
        row, name, policy = self.row, self.session.store.host_name, self.session.policy.value
        if isinstance(row, VolumeEntry):
            self.run_worker(show_volume(self.app, self.session, self.glyphs, row))
        elif isinstance(row, AdviceEntry):
            self.app.push_screen(Detail(f"Move {one_line(row.advice.name)}", details(row)))
        elif isinstance(row, StorageDecision):
            self.app.push_screen(Detail(f"Decision about {one_line(row.name)}", decision_details(row)))
        elif isinstance(row, Pool):
            self.app.push_screen(Detail(one_line(row.name), of_pool(row, name, policy)))
