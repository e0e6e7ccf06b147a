"""The list of VMs: a table over the store, and what stands in its place while there is nothing to list."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from novacron_core.api.hosts import HostStatus
from novacron_core.api.vms import CREATE, VM
from novacron_core.rules.units import age_text
from novacron_tui.glyphs import Glyphs
from novacron_tui.safe_text import one_line
from novacron_tui.session import Session
from novacron_tui.store import Line
from novacron_tui.vms.actions import doing
from novacron_tui.vms.columns import columns
from novacron_tui.widgets.cells import Column
from novacron_tui.widgets.line import Piece, content
from novacron_tui.widgets.table import Table


class VMPane(Vertical):
    """Give it a look with `refresh_data` whenever the store or the clock has moved; it paints what changed."""

    DEFAULT_CSS = """
    VMPane { height: 1fr; }
    VMPane #instead { height: 1fr; content-align: center middle; text-align: center; padding: 0 2; }
    """

    def __init__(self, session: Session, glyphs: Glyphs) -> None:
        super().__init__()
        self._session = session
        self._glyphs = glyphs
        self._many_hosts = False
        self._seen = -1
        self._instead: tuple[Piece, ...] = ()
        signs = (glyphs.mark, glyphs.up, glyphs.down, glyphs.cut)
        self.table: Table[VM] = Table(self._columns(), lambda vm: vm.id, signs=signs, sort="name", id="vms")
        self._static = Static(id="instead")

    def compose(self) -> ComposeResult:
        yield self.table
        yield self._static

    def on_mount(self) -> None:
        self.refresh_data()

    def refresh_data(self) -> None:
        """Show what the store has now."""
        store = self._session.store
        if (len(store.hosts) > 1) != self._many_hosts:
            self._many_hosts = not self._many_hosts
            self.table.set_columns(self._columns())
        if store.version != self._seen:
            self._seen = store.version
            self.table.show(list(store.vms.values()))
        else:
            self.table.repaint()
        self._show_instead(tuple(self._pieces_instead()))

    def _columns(self) -> Sequence[Column[VM]]:
        store = self._session.store
        return columns(self._glyphs, store.now, store.host_name, many_hosts=self._many_hosts)

    def _show_instead(self, pieces: tuple[Piece, ...]) -> None:
        if pieces == self._instead and self._static.display == bool(pieces):
            return
        self._instead = pieces
        self._static.update(content(pieces))
        self._static.display = bool(pieces)
        self.table.display = not pieces
        if not pieces:
            self.table.focus()

    def _pieces_instead(self) -> list[Piece]:
        """The designed states of an empty list, each with the next step."""
        store = self._session.store
        if store.line is Line.LOADING:
            return [Piece("reading the inventory…", "quiet")]
        if not store.loaded:
            return [
                Piece("the server does not answer\n\n", "bad"),
                Piece(f"{one_line(store.reason)}\n\n", "plain"),
                Piece("the console keeps trying by itself; ", "quiet"),
                Piece("r", "key"),
                Piece(" tries now", "quiet"),
            ]
        if store.vms:
            return []
        down = [host for host in store.hosts.values() if host.status is HostStatus.DOWN]
        if down and len(down) == len(store.hosts):
            return [
                Piece("no host answers\n\n", "bad"),
                *(
                    Piece(f"{one_line(host.name)}: {one_line(host.detail or 'no reason known')}\n", "plain")
                    for host in down
                ),
            ]
        return [Piece("no VMs yet\n\n", "strong"), *self._next_step()]

    def _next_step(self) -> list[Piece]:
        if not self._session.may(CREATE):
            return [Piece(f"your role ({self._session.who.role}) sees what others create", "quiet")]
        return [Piece("press ", "quiet"), Piece("c", "key"), Piece(" to create one from an image", "quiet")]

    def hint(self) -> list[Piece]:
        """What there is to say of the VM under the cursor beyond its row."""
        vm = self.table.row
        if vm is None or self._static.display:
            return []
        if vm.operation is not None:
            op = vm.operation
            who = f" by {one_line(op.actor)}" if op.actor else ""
            eta = f", {age_text(op.eta_s)} left" if op.eta_s is not None else ""
            return [Piece(f"{doing(op.kind)}{who}: {one_line(op.step) or op.state}{eta}", "busy")]
        why = f" ({one_line(vm.reason)})" if vm.reason else ""
        host = one_line(self._session.store.host_name(vm.host))
        return [Piece(f"{one_line(vm.name)} on {host}: {vm.state}{why}  ", "quiet"), Piece(vm.id, "quiet", 1)]
