"""The list of volumes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from novacron_core.api.volumes import Volume
from novacron_core.rules.tiering.classes import cost_month
from novacron_tui.connection.session import Session
from novacron_tui.connection.store import ConnectionState
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.volumes.columns import columns
from novacron_tui.volumes.entries import VolumeEntry, entries
from novacron_tui.volumes.filters import volume_filter
from novacron_tui.widgets.cells import Column
from novacron_tui.widgets.list_pane import ListPane
from novacron_tui.widgets.table import Table
from novacron_tui.widgets.text_bar import Piece


class VolumePane(ListPane[VolumeEntry]):
    NOUN = "volume"
    KEEPS_FILTER = True
    EXAMPLE = "name, or tier:hot heat>10 idle>7d size>10G is:free -test"

    def __init__(self, session: Session, glyphs: Glyphs) -> None:
        self._session, self._glyphs = session, glyphs
        self._shown = session.policy.version
        super().__init__(Table(self._columns(), lambda entry: entry.id, signs=glyphs.table_signs, id="volumes"))

    def _columns(self) -> list[Column[VolumeEntry]]:
        store = self._session.store
        return columns(
            self._glyphs, store.host_name, store.now, self._session.policy.value, many_hosts=len(store.hosts) > 1
        )

    def refresh_data(self) -> None:
        """Show the current data; the column of costs as soon as a price is known."""
        if self._shown != self._session.policy.version:
            self._shown = self._session.policy.version
            self.table.set_columns(self._columns())
        super().refresh_data()

    def version(self) -> Hashable:
        return self._session.store.version, self._session.store.samples.heat_version, self._session.policy.version

    def rows(self) -> Sequence[VolumeEntry]:
        return entries(self._session.store)

    def total(self) -> int:
        return len(self._session.store.volumes)

    def compile(self, text: str) -> Callable[[VolumeEntry], bool]:
        return volume_filter(text, self._session.store, self._cost)

    def _cost(self, volume: Volume) -> float | None:
        policy = self._session.policy.value
        return cost_month(policy, volume.tier, volume.allocated_bytes) if policy else None

    def placeholder(self) -> Sequence[Piece]:
        if self._session.store.connection is ConnectionState.LOADING:
            return [Piece("loading…", "quiet")]
        if self.total():
            return []
        how = " creates one; VM disks are created with their VM"
        return [Piece("no volumes yet\n\n", "strong"), Piece("c", "key"), Piece(how, "quiet")]

    def hint(self) -> Sequence[Piece]:
        """The running operation on the volume under the cursor."""
        entry = self.table.row
        if entry is None or entry.operation is None:
            return []
        step = entry.operation.step or entry.operation.kind
        return [Piece(f"{self._glyphs.work} {one_line(entry.volume.name)}: {one_line(step)}", "busy")]
