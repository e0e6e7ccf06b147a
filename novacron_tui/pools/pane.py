"""The list of storage pools."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from novacron_core.api.pools import Pool
from novacron_core.values.roles import Role
from novacron_tui.connection.session import Session
from novacron_tui.connection.store import ConnectionState
from novacron_tui.pools.columns import columns
from novacron_tui.pools.filters import pool_filter
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.widgets.list_pane import ListPane
from novacron_tui.widgets.table import Table
from novacron_tui.widgets.text_bar import Piece


class PoolPane(ListPane[Pool]):
    NOUN = "pool"
    KEEPS_FILTER = True
    EXAMPLE = "name, or tier:hot type:dir host:kvm-a free>10G"

    def __init__(self, session: Session, glyphs: Glyphs) -> None:
        store = session.store
        self._session = session
        administers = session.user.role is Role.ADMINISTRATOR  # others are not told where files are on a host
        shown = columns(glyphs, store.host_name, session.policy, many_hosts=len(store.hosts) > 1, paths=administers)
        super().__init__(Table(shown, lambda pool: pool.id, signs=glyphs.table_signs, id="pools"))

    def version(self) -> Hashable:
        return self._session.store.version, self._session.policy.version

    def rows(self) -> Sequence[Pool]:
        return list(self._session.store.pools.values())

    def total(self) -> int:
        return len(self._session.store.pools)

    def compile(self, text: str) -> Callable[[Pool], bool]:
        return pool_filter(text, self._session.store)

    def placeholder(self) -> Sequence[Piece]:
        if self._session.store.connection is ConnectionState.LOADING:
            return [Piece("loading…", "quiet")]
        return [] if self.total() else [Piece("no pools: no host has responded yet", "quiet")]

    def hint(self) -> Sequence[Piece]:
        """Which pools share the disk of the pool under the cursor."""
        pool = self.table.row
        if pool is None or not pool.shares_disk_with:
            return []
        others = ", ".join(map(one_line, pool.shares_disk_with))
        return [Piece(f"{one_line(pool.name)} shares its disk with {others}", "quiet")]
