"""The list of VMs: a table over the store, and what stands in its place while there is nothing to list."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Static

from novacron_core.api.events import SampleRequest
from novacron_core.api.hosts import HostStatus
from novacron_core.api.vms import CREATE, VM
from novacron_core.rules.filters.language import FilterError, compile_filter
from novacron_core.rules.filters.vms import LIVE_FIELDS, vm_fields
from novacron_core.rules.operation_words import doing
from novacron_core.values.ages import age_text
from novacron_tui.connection.session import Session
from novacron_tui.connection.store import ConnectionState, VMKey, key_of
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.vms.columns import HOST_WIDTHS, columns
from novacron_tui.vms.live import LIVE
from novacron_tui.widgets.cells import Column
from novacron_tui.widgets.filter_line import FilterLine
from novacron_tui.widgets.table import Table
from novacron_tui.widgets.text_bar import Piece, content

_FEW = 50
"""So few VMs are asked for as a whole."""
_MOST_ASKED = 200
_LIVE_WORDS = tuple(f"{field}{sign}" for field in LIVE_FIELDS for sign in "<>=:")


class VMPane(Vertical):
    """Give it a look with `refresh_data` whenever the store or the clock has moved; it paints what changed."""

    DEFAULT_CSS = """
    VMPane { height: 1fr; }
    VMPane #instead { height: 1fr; content-align: center middle; text-align: center; padding: 0 2; }
    """

    class Sifted(Message):
        """The filter lets other VMs through, or is no longer typed."""

    def __init__(self, session: Session, glyphs: Glyphs) -> None:
        super().__init__()
        self._session = session
        self._glyphs = glyphs
        self._host_width = 0
        self._seen = self._sampled = -1
        self._instead: tuple[Piece, ...] = ()
        signs = (glyphs.mark, glyphs.up, glyphs.down, glyphs.cut)
        self.table: Table[VM] = Table(self._columns(), key_of, signs=signs, sort="name", id="vms")
        self._static = Static(id="instead")
        self.filter = FilterLine(id="filter")
        self._wrong = ""
        self._host_names: dict[str, str] = {}
        self._fields = vm_fields(self._host_names, session.store.samples.of)
        self._by_name: Sequence[VM] = ()
        self._lively = False
        self._asked: SampleRequest | None = None
        self._came_from: VMKey | None = None
        self._made = ""

    def compose(self) -> ComposeResult:
        yield self.table
        yield self._static
        yield self.filter

    def on_mount(self) -> None:
        self.refresh_data()

    def refresh_data(self) -> None:
        """Show what the store has now."""
        store = self._session.store
        if (width := self._host_width_now()) != self._host_width:
            self._host_width = width
            self.table.set_columns(self._columns())
        if store.version != self._seen:
            self._seen = store.version
            self._host_names.clear()
            self._host_names.update((host.id, host.name) for host in store.hosts.values())
            self._by_name = sorted(store.vms.values(), key=lambda vm: (vm.name, store.host_name(vm.host)))
            self.table.show(self._by_name)  # rows equal in the sorted column keep this order
            self._find_made()
        elif store.samples.version != self._sampled and self.moves:
            self.table.show(self._by_name)
        else:
            self.table.repaint()
        self._sampled = store.samples.version
        self._show_instead(tuple(self._pieces_instead()))
        self._tell_through()

    @property
    def moves(self) -> bool:
        """Whether order or filter follow numbers that change with every sample."""
        return self._lively or self.table.sort_key in LIVE

    def wants(self) -> SampleRequest | None:
        """The samples of the VMs in the window, and a page above and below; of all where they decide what is there.

        The same as long as the window stays within what was asked for.
        """
        if not self.table.display:
            return None
        if self.moves or len(self.table.rows) <= _FEW:
            self._asked = SampleRequest()
            return self._asked
        room = max(1, self.table.size.height)
        top = self.table.scroll_offset.y
        seen = {vm.id for vm in self.table.rows[top : top + room]}
        held = self._asked.targets if self._asked is not None else ()
        if isinstance(held, str) or not seen <= set(held):
            near = self.table.rows[max(0, top - room) : top + 2 * room]
            self._asked = SampleRequest(targets=[vm.id for vm in near][:_MOST_ASKED])
        return self._asked

    # -- the filter ------------------------------------------------------------------------------------------------

    def open_filter(self) -> None:
        """Type a filter; the cursor comes back to where it was when it is cleared."""
        self._came_from = key_of(self.table.row) if self.table.row else None
        self.filter.open("name, or state:running host:kvm-a tag:db cpu>80 -test")

    def go_to(self, vm: VMKey) -> None:
        """Put the cursor on a VM; a filter that hides it is cleared."""
        if any(key_of(shown) == vm for shown in self.table.rows):
            self.table.want(vm)
        else:
            self._came_from = vm
            self.filter.action_clear()

    def go_to_made(self, vm_id: str) -> None:
        """Put the cursor on a VM that is being made, when it comes; which host it comes to is not known before."""
        self._made = vm_id
        self._find_made()

    @on(Table.Moved)
    def _moved(self) -> None:
        self._made = ""  # who moves the cursor wants it there

    def _find_made(self) -> None:
        if self._made and (found := self._session.store.vms_with(self._made)):
            self._made = ""
            self.table.want(key_of(found[0]))

    @on(FilterLine.Changed)
    def _filter(self, event: FilterLine.Changed) -> None:
        event.stop()
        try:
            test = compile_filter(event.text, self._fields)
        except FilterError as e:
            self._wrong = str(e)  # the list stays as it is until the filter can be understood
        else:
            self._wrong = ""
            self._lively = any(word.lstrip("-!").startswith(_LIVE_WORDS) for word in event.text.lower().split())
            self.table.only(test if event.text else None)
        self._show_instead(tuple(self._pieces_instead()))
        self._tell_through()
        self.post_message(self.Sifted())

    @on(FilterLine.Closed)
    def _typing_over(self, event: FilterLine.Closed) -> None:
        event.stop()
        if not event.kept and self._came_from:
            self.table.want(self._came_from)
        self._came_from = None  # from a kept filter one goes on where one is
        self._focus_list()
        self.post_message(self.Sifted())

    def _tell_through(self) -> None:
        if self._wrong:
            self.filter.tell("not understood", "bad")
        else:
            self.filter.tell(f"{len(self.table.rows):,} of {len(self._session.store.vms):,}")

    def _focus_list(self) -> None:
        """The table takes the keys; while it is away, nothing does, and they reach the screen."""
        if self.table.display:
            self.table.focus()
        else:
            self.screen.set_focus(None)

    def _columns(self) -> Sequence[Column[VM]]:
        store = self._session.store
        return columns(self._glyphs, store.now, store.host_name, store.samples, host_width=self._host_width)

    def _host_width_now(self) -> int:
        """Room for the longest name: what tells two hosts apart stands at its end."""
        store = self._session.store
        if len(store.hosts) < 2:
            return 0
        least, most = HOST_WIDTHS
        return max(least, min(most, max(cell_len(one_line(store.host_name(host))) for host in store.hosts)))

    def _show_instead(self, pieces: tuple[Piece, ...]) -> None:
        if pieces == self._instead and self._static.display == bool(pieces):
            return
        self._instead = pieces
        self._static.update(content(pieces))
        self._static.display = bool(pieces)
        self.table.display = not pieces
        if not pieces and not self.filter.editing:
            self.table.focus()

    def _pieces_instead(self) -> list[Piece]:
        """The designed states of an empty list, each with the next step."""
        store = self._session.store
        if store.line is ConnectionState.LOADING:
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
            return [] if self.table.rows or not self.filter.text else self._nothing_passes()
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

    def _nothing_passes(self) -> list[Piece]:
        return [
            Piece("no VM passes the filter\n\n", "strong"),
            Piece("esc", "key"),
            Piece(" clears it", "quiet"),
        ]

    def _next_step(self) -> list[Piece]:
        if not self._session.may(CREATE):
            return [Piece(f"your role ({self._session.who.role}) sees what others create", "quiet")]
        return [Piece("press ", "quiet"), Piece("c", "key"), Piece(" to create one from an image", "quiet")]

    def hint(self) -> list[Piece]:
        """What there is to say of the VM under the cursor beyond its row."""
        if self._wrong:
            return [Piece(f"{self._glyphs.bad} {self._wrong}", "bad")]
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
        unmanaged = ", unmanaged" if vm.unmanaged else ""
        said = f"{one_line(vm.name)} on {host}: {vm.state}{why}{unmanaged}  "
        pieces = [Piece(said, "quiet"), Piece(vm.id, "quiet", 1)]
        others = ", ".join(one_line(self._session.store.host_name(other)) for other in vm.duplicate_on)
        return [*pieces, Piece(f"  also on {others}", "warn", 2)] if others else pieces
